"""What scikit-learn asks of an estimator; imported only where scikit-learn is in use, which stays optional."""

import inspect
import sys
from typing import Any, Self

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


class Settings:
    """A class whose settings are the arguments of its constructor, kept by their names, as scikit-learn asks for it."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments, as scikit-learn asks for them."""
        return {name: getattr(self, name) for name in _usual(self)}

    def set_params(self, **params: Any) -> Self:
        """Change the constructor's arguments, for the next `fit`.

        Raises:
            InputError: There is no such argument.
        """
        for name, value in params.items():
            if name not in self.get_params():
                raise InputError(f"Invalid parameter '{name}': there are {', '.join(self.get_params())}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        # A source is shown by its name: it holds all the weights.
        settings = {k: v.name if isinstance(v, Source) else v for k, v in self.get_params().items()}
        usual = _usual(self)
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in settings.items() if v != usual[k])})"


def _usual(estimator: Settings) -> dict[str, Any]:
    return {name: one.default for name, one in inspect.signature(type(estimator)).parameters.items()}
