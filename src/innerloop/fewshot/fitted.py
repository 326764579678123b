"""What a classifier says, of what it learned and of further examples."""

from typing import Any

import numpy as np

from innerloop.core import tree
from innerloop.evaluate.calibration import Calibration
from innerloop.fewshot import scikit, sets
from innerloop.fewshot.answering import answered
from innerloop.fewshot.answers import Answers
from innerloop.fewshot.calibrate import NONE
from innerloop.fewshot.generation import Generated, of_task
from innerloop.fewshot.history import Label, Version
from innerloop.fewshot.labels import Labels, share_right
from innerloop.fewshot.nearest import Neighbour, nearest_examples
from innerloop.fewshot.rows import Examples, read
from innerloop.fewshot.task import Task
from innerloop.fewshot.versioned import Versioned
from innerloop.fewshot.wish import Wish
from innerloop.tasks import other_sets


class Fitted(Versioned[Task]):
    """What is to be asked of a taught classifier."""

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

    def predict(self, X: Examples) -> np.ndarray:
        """[n] the most probable class of every example; with `reject`, `NONE` where no class is near enough.

        Classes that are integers come as objects where an example is none of them.
        """
        return self.answers(X).classes

    def predict_proba(self, X: Examples) -> np.ndarray:
        """[n, classes] probability of every class, in the order of `classes_`, given that it is one of them."""
        return self.answers(X).probabilities

    def accepts(self, X: Examples) -> np.ndarray:
        """[n] bool, False for what is none of the classes; all True without `reject`."""
        return self.answers(X).accepted

    def answers(self, X: Examples) -> Answers:
        """All that is said of every example, for the price of one `predict`.

        An example gets the class, and is accepted, as it would be alone: where rounding, which differs between one and
        many, might decide, it is asked alone, which takes as long as many calls with one example.
        """
        return answered(self._fitted(), X)

    def predict_sets(self, X: Examples, coverage: float = 0.9) -> list[list[Label]]:
        """The fewest classes for each example that hold the right one with a probability of `coverage`, see `sets`.

        They are the most probable ones, most probable first, given that an example is of one of the classes.

        Raises:
            InputError: Too few examples can be held out to promise it.
        """
        task = self._fitted()
        sets.check(task, coverage)  # what cannot be promised is told before an encoder runs
        rows, _ = read(X, task.source)
        return sets.answer(task, rows, coverage)

    def explain(self, X: Examples, n: int = 3) -> list[list[Neighbour]]:
        """Why every example is answered as it is: the n taught examples that are nearest to it, nearest first."""
        task = self._fitted()
        return nearest_examples(task, read(X, task.source)[0], n)

    def generate(self, wish: Wish = Wish()) -> Generated:
        """Further examples of every class, where its learner can make some; `generation.generate` needs no `fit`.

        Raises:
            InputError: The learner cannot generate, or what is wished is not there.
        """
        return of_task(self._fitted(), wish)

    def score(self, X: Any, y: Labels | None = None) -> float:
        """Share of examples that are named correctly; an example that is rejected is not, unless y says `NONE` as well.

        Raises:
            InputError: Not one label for each example, none at all, or integers where the classes are strings.
        """
        X, y = other_sets.apart(X, y)
        return share_right(self.predict(X).tolist(), y, self._fitted().classes, NONE)

    def __sklearn_tags__(self) -> Any:
        return scikit.tags()

    def __sklearn_is_fitted__(self) -> bool:
        return "_task" in self.__dict__

    def _attribute(self, name: str) -> Task:
        """The task behind an attribute that exists only after `fit`."""
        task = self.__dict__.get("_task")
        if task is None:
            raise AttributeError(f"{name} is there after fit: nothing was learned yet")
        return task
