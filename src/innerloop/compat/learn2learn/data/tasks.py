"""Sets of tasks, and a task as support and query."""

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from innerloop.compat.learn2learn.absent import own_arguments
from innerloop.compat.learn2learn.data.sets import MetaDataset
from innerloop.compat.learn2learn.data.transforms import DataDescription, Description, TaskTransform
from innerloop.core.errors import InputError

Transform = Callable[[Description | None], Description]


class Taskset(Dataset[Any]):
    """Tasks of a data set, drawn when they are asked for, by Python's `random`.

    Args:
        dataset: A data set, `MetaDataset` or not.
        task_transforms: What makes a task, in order; or one function of None.
        num_tasks: How many, each of which stays the same once it was drawn; -1: a new one every time.
        task_collate: Makes a task of its examples; None: torch's `default_collate`.

    Warns:
        UserWarning: The first transform draws classes that this data set does not have, as where it was given the whole
            and this is the part to train on: tasks would be of them all the same.

    Raises:
        InputError: An argument that it does not have, or a number of tasks that cannot be.
    """

    @own_arguments
    def __init__(
        self,
        dataset: Dataset[Any],
        task_transforms: Sequence[Transform] | Transform | None = None,
        num_tasks: int = -1,
        task_collate: Callable[[list[Any]], Any] | None = None,
    ):
        if num_tasks < -1 or num_tasks == 0:
            raise InputError(f"num_tasks is -1, for ever new tasks, or how many there are; got {num_tasks}")
        self.dataset = dataset if isinstance(dataset, MetaDataset) else MetaDataset(dataset)
        self.task_transforms: Sequence[Transform] | Transform = [] if task_transforms is None else task_transforms
        self.num_tasks = num_tasks
        self.task_collate: Callable[[list[Any]], Any] = default_collate if task_collate is None else task_collate
        self.sampled_descriptions: dict[int, Description] = {}
        self._warn_of_other_classes()

    def sample_task_description(self) -> Description:
        """A new task, not yet read.

        Raises:
            InputError: There is no transform to make one.
        """
        steps = [self.task_transforms] if callable(self.task_transforms) else self.task_transforms
        description: Description | None = None
        for transform in steps:
            description = transform(description)
        if description is None:
            raise InputError("a Taskset needs task_transforms: NWays, KShots, LoadData, RemapLabels, ConsecutiveLabels")
        return description

    def get_task(self, task_description: Sequence[DataDescription]) -> Any:
        """The examples of a description, read and put together."""
        rows: list[Any] = []
        for one in task_description:
            row: Any = one.index
            for transform in one.transforms:
                row = transform(row)
            rows.append(row)
        return self.task_collate(rows)

    def sample(self) -> Any:
        """A task, drawn at random: usually [x, y]."""
        return self[random.randint(0, len(self) - 1)]

    def _warn_of_other_classes(self) -> None:
        steps = [self.task_transforms] if callable(self.task_transforms) else list(self.task_transforms)
        if not steps or not isinstance(steps[0], TaskTransform):
            return
        own = set(self.dataset.labels)
        others = [label for label in steps[0].begins_with() if label not in own]
        if others:
            warnings.warn(
                f"{type(steps[0]).__name__} draws {len(others)} classes that the data set of this Taskset, with "
                f"{len(own)}, does not have, such as {others[0]!r}: give both the same data set, or filter_labels",
                UserWarning,
                stacklevel=4,
            )

    def __len__(self) -> int:
        return 1 if self.num_tasks == -1 else self.num_tasks

    def __getitem__(self, i: int) -> Any:
        if self.num_tasks == -1:
            return self.get_task(self.sample_task_description())
        if i not in self.sampled_descriptions:
            self.sampled_descriptions[i] = self.sample_task_description()
        return self.get_task(self.sampled_descriptions[i])

    def __iter__(self) -> Iterator[Any]:
        if self.num_tasks == -1:
            while True:
                yield self[0]
        yield from (self[i] for i in range(self.num_tasks))


class TaskDataset(Taskset):
    """`Taskset`, as it was called before learn2learn 0.2."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        warnings.warn("TaskDataset is deprecated, use Taskset instead.", DeprecationWarning, stacklevel=2)


class InfiniteIterator:
    """Goes on with the first item after the last, for ever.

    Args:
        dataloader: Anything that can be gone through again.

    Raises:
        InputError: It has nothing.
    """

    def __init__(self, dataloader: Any):
        self.dataloader = dataloader
        self.iterator = iter(dataloader)

    def __iter__(self) -> "InfiniteIterator":
        return self

    def __next__(self) -> Any:
        for _ in range(2):
            try:
                return next(self.iterator)
            except StopIteration:
                self.iterator = iter(self.dataloader)
        raise InputError("there is nothing to go through: give a data loader that has batches")


def partition_task(data: Tensor, labels: Tensor, shots: int = 1) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Split a task in support and query, both sorted by label.

    Args:
        data: [n, ...] examples.
        labels: [n] their classes, as many examples of each.
        shots: How many of each are support: the first ones.

    Returns:
        (support x, y), (query x, y).

    Raises:
        InputError: Lengths differ or are 0, classes have different numbers of examples, or the query gets nothing.
    """
    if len(data) != len(labels):
        raise InputError(f"a task has one label for each example, got {len(data)} examples and {len(labels)} labels")
    if not len(labels):
        raise InputError("a task needs examples, got none")
    order = torch.argsort(labels, stable=True)
    counts = torch.unique(labels, return_counts=True)[1].tolist()
    if len(set(counts)) != 1:
        raise InputError(f"every class needs the same number of examples, got from {min(counts)} to {max(counts)}")
    if not 0 < shots < counts[0]:
        raise InputError(f"{shots} shots of {counts[0]} examples a class leave no support or no query")
    rows = order.view(len(counts), counts[0])
    support, query = rows[:, :shots].flatten(), rows[:, shots:].flatten()
    return (data[support], labels[support]), (data[query], labels[query])
