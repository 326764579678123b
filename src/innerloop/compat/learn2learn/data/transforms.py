"""What turns a description of a task into another: what learn2learn calls `learn2learn.data.transforms`.

A description is a list of examples by their index, each with what is done to it when the task is read. The first
transform gets None, and begins with all examples, or with those it would choose. Draws are those of Python's `random`,
in learn2learn's order: the same `random.seed` gives the same tasks.
"""

import random
from collections.abc import Callable, Iterable
from typing import Any

from innerloop.compat.learn2learn.absent import absent, own_arguments
from innerloop.compat.learn2learn.data.sets import MetaDataset
from innerloop.core.errors import InputError

__all__ = [
    "ConsecutiveLabels",
    "DataDescription",
    "FilterLabels",
    "FusedNWaysKShots",
    "KShots",
    "LoadData",
    "NWays",
    "RemapLabels",
    "TaskTransform",
]


def __getattr__(name: str) -> Any:
    raise absent("data.transforms", name, __all__)


class DataDescription:
    """One example of a task: its index in the data set, and what is done to it, in order."""

    __slots__ = ("index", "transforms")

    def __init__(self, index: int):
        self.index = index
        self.transforms: list[Callable[[Any], Any]] = []


Description = list[DataDescription]


class TaskTransform:
    """What all of them have: a data set, and `new_task` to begin with."""

    def __init__(self, dataset: MetaDataset):
        self.dataset = dataset

    def new_task(self) -> Description:
        """All examples."""
        return [DataDescription(i) for i in range(len(self.dataset))]

    def begins_with(self) -> list[Any]:
        """Classes of which a task is, where this transform comes first."""
        return self.dataset.labels

    def __call__(self, task_description: Description | None) -> Description:
        return self.change(self.new_task() if task_description is None else task_description)

    def change(self, task: Description) -> Description:
        """The description after this transform."""
        raise NotImplementedError

    def label(self, one: DataDescription) -> Any:
        """The class of an example, as the data set calls it."""
        return self.dataset.indices_to_labels[one.index]


class LoadData(TaskTransform):
    """Reads every example.

    Args:
        dataset: Where from.
    """

    def change(self, task: Description) -> Description:
        for one in task:
            one.transforms.append(self.dataset.__getitem__)
        return task


class FilterLabels(TaskTransform):
    """Keeps examples of some labels.

    Args:
        dataset: The data set.
        labels: What is kept.
    """

    def __init__(self, dataset: MetaDataset, labels: Iterable[Any]):
        super().__init__(dataset)
        self.labels = list(labels)

    def begins_with(self) -> list[Any]:
        return self.labels

    def change(self, task: Description) -> Description:
        kept = set(self.labels)
        return [one for one in task if self.label(one) in kept]


class NWays(TaskTransform):
    """Keeps the examples of n classes, drawn at random.

    Args:
        dataset: The data set.
        n: How many.

    Raises:
        InputError: n is below 1; or, when a task is drawn, there are fewer classes.
    """

    @own_arguments
    def __init__(self, dataset: MetaDataset, n: int = 2):
        super().__init__(dataset)
        _at_least_one(n=n)
        self.n = n

    def __call__(self, task_description: Description | None) -> Description:
        if task_description is not None:
            return self.change(task_description)
        classes = _drawn(self.dataset.labels, self.n, "classes")
        return [DataDescription(i) for label in classes for i in self.dataset.labels_to_indices[label]]

    def change(self, task: Description) -> Description:
        kept = set(_drawn(list({self.label(one) for one in task}), self.n, "classes"))
        return [one for one in task if self.label(one) in kept]


class KShots(TaskTransform):
    """Keeps k examples of every class, drawn at random, class after class.

    Args:
        dataset: The data set.
        k: How many: shots and queries together.
        replacement: Whether an example may be drawn twice.

    Raises:
        InputError: k is below 1; or, when a task is drawn, a class has fewer.
    """

    @own_arguments
    def __init__(self, dataset: MetaDataset, k: int = 1, replacement: bool = False):
        super().__init__(dataset)
        _at_least_one(k=k)
        self.k = k
        self.replacement = replacement

    def change(self, task: Description) -> Description:
        by_class: dict[Any, Description] = {}
        for one in task:
            by_class.setdefault(self.label(one), []).append(one)
        return [one for label, rows in by_class.items() for one in self._of(label, rows)]

    def _of(self, label: Any, rows: Description) -> Description:
        if not self.replacement:
            return _drawn(rows, self.k, f"examples of class {label!r}")
        copies: Description = []
        for one in random.choices(rows, k=self.k):
            copy = DataDescription(one.index)
            copy.transforms = list(one.transforms)
            copies.append(copy)
        return copies


class FusedNWaysKShots(TaskTransform):
    """`FilterLabels`, `NWays` and `KShots` in one, faster where it comes first.

    Args:
        dataset: The data set.
        n: How many classes.
        k: How many examples of each.
        replacement: Whether an example may be drawn twice.
        filter_labels: What classes are drawn from; None: all.

    Raises:
        InputError: n or k is below 1; or, when a task is drawn, there are too few classes or examples.
    """

    @own_arguments
    def __init__(
        self,
        dataset: MetaDataset,
        n: int = 2,
        k: int = 1,
        replacement: bool = False,
        filter_labels: Iterable[Any] | None = None,
    ):
        super().__init__(dataset)
        _at_least_one(n=n, k=k)
        self.n = n
        self.k = k
        self.replacement = replacement
        self.filter_labels = dataset.labels if filter_labels is None else list(filter_labels)

    def begins_with(self) -> list[Any]:
        return self.filter_labels

    def __call__(self, task_description: Description | None) -> Description:
        if task_description is not None:
            return self.change(task_description)
        task: Description = []
        for label in _drawn(self.filter_labels, self.n, "classes"):
            indices = self.dataset.labels_to_indices[label]
            if self.replacement:
                rows = [random.choice(indices) for _ in range(self.k)]
            else:
                rows = _drawn(indices, self.k, f"examples of class {label!r}")
            task += [DataDescription(i) for i in rows]
        return task

    def change(self, task: Description) -> Description:
        kept = NWays(self.dataset, self.n)(FilterLabels(self.dataset, self.filter_labels)(task))
        return KShots(self.dataset, self.k, self.replacement)(kept)


class ConsecutiveLabels(TaskTransform):
    """Sorts the examples by their class, as the data set calls it.

    Args:
        dataset: The data set.
    """

    def change(self, task: Description) -> Description:
        return sorted(task, key=self.label)


class RemapLabels(TaskTransform):
    """Numbers the classes of a task from 0.

    Args:
        dataset: The data set.
        shuffle: Whether in random order.
    """

    @own_arguments
    def __init__(self, dataset: MetaDataset, shuffle: bool = True):
        super().__init__(dataset)
        self.shuffle = shuffle

    def change(self, task: Description) -> Description:
        labels = list({self.label(one) for one in task})
        if self.shuffle:
            random.shuffle(labels)
        number = {label: i for i, label in enumerate(labels)}

        def remap(item: Any) -> list[Any]:
            example, label, *rest = item
            return [example, number[label.item() if hasattr(label, "item") else label], *rest]

        for one in task:
            one.transforms.append(remap)
        return task


def _at_least_one(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name} is how many a task has, at least 1, got {count}")


def _drawn(things: list[Any], count: int, what: str) -> list[Any]:
    if count > len(things):
        raise InputError(f"a task needs {count} {what}, and there are {len(things)}")
    return random.sample(things, k=count)
