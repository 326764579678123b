"""What `mlflow.pyfunc` loads of a logged task: tables in, a table of labels and probabilities out."""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from innerloop.core.errors import InputError
from innerloop.core.texts import FILES
from innerloop.fewshot.classifier import FewShotClassifier

_COLUMNS = {"texts": "text", "pictures": "image", "sounds": "sound"}


class Model:
    """A task as MLflow asks it.

    Args:
        classifier: What has learned.
    """

    def __init__(self, classifier: FewShotClassifier):
        self.classifier = classifier

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """What examples are.

        Args:
            model_input: A table with a column `text`, `image` or `sound` (files as bytes or in base64), or with one for
                each number; a list of these; or an array.
            params: None are taken.

        Returns:
            A table of `label` (`none of these` where it is none), `accepted`, and `probabilities` by class.

        Raises:
            InputError: They are of another kind than the task takes, or cannot be read.
        """
        import pandas as pd

        if params:
            raise InputError(f"a task takes no params, got {', '.join(map(str, params))}")
        answers = self.classifier.answers(self._examples(model_input))
        each = answers.each([str(label) for label in self.classifier.classes_])
        return pd.DataFrame(
            {
                "label": answers.classes.tolist(),
                "accepted": answers.accepted.tolist(),
                "probabilities": [answer.probabilities for answer in each],
            }
        )

    def _examples(self, given: Any) -> Any:
        import pandas as pd

        kind = self.classifier.kind
        if isinstance(given, Mapping):
            given = pd.DataFrame(given)
        if kind not in _COLUMNS:
            return given
        if isinstance(given, pd.DataFrame):
            column = _COLUMNS[kind]
            if column not in given.columns and len(given.columns) != 1:
                raise InputError(
                    f"the table has the columns {', '.join(map(str, given.columns[:5]))}: give the {kind} in a column "
                    f"called '{column}'"
                )
            given = (given[column] if column in given.columns else given.iloc[:, 0]).tolist()
        if isinstance(given, np.ndarray):
            if given.dtype.kind not in "OUS":
                return given  # pixels, or rows
            given = given.ravel().tolist()
        values = list(given)
        # A text is never taken for a path here: who asks may be anybody.
        return [_file(one, f"{kind}[{i}]") for i, one in enumerate(values)] if kind in FILES else values


def _file(value: Any, name: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value.partition(",")[2] if value.startswith("data:") else value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{name} is a text that is not base64: give the bytes of a file ({error})") from error


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> Model:
    """The model at a path, by MLflow's own name; `model_config={"allow": [...]}` as of `load_task`."""
    allow = (model_config or {}).get("allow", ())
    return Model(FewShotClassifier.load(Path(path), [allow] if isinstance(allow, str) else tuple(allow)))
