"""What a classifier says of what it learned: attributes with an underscore at their end, and history."""

from typing import Any

import numpy as np

from innerloop.core import tree
from innerloop.evaluate.calibration import Calibration
from innerloop.fewshot import scikit
from innerloop.fewshot.history import Version
from innerloop.fewshot.task import Task


class Fitted(scikit.Estimator):
    """An estimator that keeps what it learned as one task, which is never changed, only replaced."""

    @property
    def task(self) -> Task:
        """What was taught, after `fit`: it is never changed, only replaced."""
        return self._attribute("task")

    @property
    def classes_(self) -> np.ndarray:
        """[classes] labels in sorted order, after `fit`."""
        return self._attribute("classes_").labels

    @property
    def examples_(self) -> dict[str, int]:
        """How many examples of each class it learned from, after `fit`."""
        counts = self._attribute("examples_").history.examples()
        return {str(label): count for label, count in counts.items()}

    @property
    def calibration_(self) -> Calibration:
        """The temperature, and with `reject` the threshold with its coverage, after `fit`."""
        return self._attribute("calibration_").calibration

    @property
    def n_features_in_(self) -> int:
        """Numbers in an example, after `fit`."""
        return self._attribute("n_features_in_").rows.shape[1:].numel()

    @property
    def feature_names_in_(self) -> np.ndarray:
        """[features] names of a table's columns, after `fit` on one that has them."""
        return self._attribute("feature_names_in_").columns

    @property
    def nbytes(self) -> int:
        """Bytes of what was learned, without the examples."""
        return sum(leaf.nbytes for leaf in tree.flatten(self._fitted().adapted))

    @property
    def history(self) -> tuple[Version, ...]:
        """Every version of the task; the last is the present one."""
        return self._fitted().history.versions

    def examples_at(self, version: int) -> dict[str, int]:
        """How many examples of each class a version has."""
        return {str(label): count for label, count in self._fitted().history.examples(version).items()}

    def show(self) -> dict[str, Any]:
        """What it is and knows, in plain JSON: source, classes, calibration and versions."""
        return self._fitted().show()

    def __sklearn_is_fitted__(self) -> bool:
        return "_task" in self.__dict__

    def _fitted(self) -> Task:
        task = self.__dict__.get("_task")
        if task is None:
            raise scikit.not_fitted()
        return task

    def _attribute(self, name: str) -> Task:
        """The task behind an attribute that exists only after `fit`."""
        task = self.__dict__.get("_task")
        if task is None:
            raise AttributeError(f"{name} is there after fit: nothing was learned yet")
        return task
