"""What scikit-learn asks of an estimator; imported only where scikit-learn is in use, which stays optional."""

import sys
from collections.abc import Mapping
from typing import Any

from innerloop.core.errors import InputError
from innerloop.fewshot.sources import Source

_NOT_FITTED = "nothing was learned yet: call fit first, or load a file that `save` wrote"


def tags() -> Any:
    """`sklearn.utils.Tags` of a classifier; scikit-learn itself asks for them."""
    from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

    return Tags(
        estimator_type="classifier",
        target_tags=TargetTags(required=True),
        classifier_tags=ClassifierTags(),
        input_tags=InputTags(),
        transformer_tags=None,
        regressor_tags=None,
    )


def not_fitted() -> InputError:
    """The error of a classifier that is asked too early; also scikit-learn's, where that is in use."""
    module = sys.modules.get("sklearn.exceptions")
    if module is None:
        return InputError(_NOT_FITTED)
    # Of both kinds: people catch what their library raises.
    return type("NotFitted", (InputError, module.NotFittedError), {})(_NOT_FITTED)


def set_parameters(estimator: Any, params: Mapping[str, Any]) -> None:
    """Change the constructor's arguments of an estimator.

    Raises:
        InputError: There is no such argument.
    """
    for name, value in params.items():
        if name not in estimator.get_params():
            raise InputError(f"Invalid parameter '{name}': there are {', '.join(estimator.get_params())}")
        setattr(estimator, name, value)


def spelled(estimator: Any, usual: Mapping[str, Any]) -> str:
    """An estimator as one would write it, without arguments that have their usual value; a source by its name."""
    params = estimator.get_params()
    settings = {name: value.name if isinstance(value, Source) else value for name, value in params.items()}
    arguments = ", ".join(f"{k}={v!r}" for k, v in settings.items() if k not in usual or v != usual[k])
    return f"{type(estimator).__name__}({arguments})"
