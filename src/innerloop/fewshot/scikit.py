"""What scikit-learn asks of an estimator; imported only where scikit-learn is in use, which stays optional."""

import sys
from typing import Any

from innerloop.core.errors import InputError

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
