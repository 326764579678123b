"""Class-incremental streams: classes of a pool one after another, or a few at a time."""

import functools
from dataclasses import dataclass

import numpy as np

from innerloop.core.errors import InputError
from innerloop.core.ranges import Count
from innerloop.tasks import draws
from innerloop.tasks.draws import Numbers
from innerloop.tasks.row_stream import RowStream

_CLASSES, _ROWS, _ORDER = 2, 3, 4


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassStream(RowStream):
    """Classes in random order; their ids are 0, 1, ... as they appear. A task is `classes_per_task` of them, mixed.

    Raises:
        InputError: The pool has fewer classes, or a class fewer rows, or tasks would be uneven.
    """

    classes: Count | None = None
    """How many come; None: all of the pool."""
    classes_per_task: Count = 1
    rows: Count | None = None
    """How many of each class arrive; None: all that are not held out."""
    held_out_rows: Count = 5
    """How many of each class never arrive, on which it is measured."""

    def __post_init__(self) -> None:
        have, asked = len(self.pool), self.classes or len(self.pool)
        if asked > have:
            raise InputError(
                f"the stream is shorter than asked: {self.pool.dataset} ({self.pool.split}) has {have} classes, and "
                f"{asked} are asked for"
            )
        if asked % self.classes_per_task:
            raise InputError(
                f"{asked} classes cannot be cut into tasks of {self.classes_per_task}: choose numbers that divide"
            )
        need = (self.rows or 1) + self.held_out_rows
        short = next((i for i in self._chosen.tolist() if int(self.pool.counts[i]) < need), None)
        if short is not None:
            raise InputError(
                f"the stream is shorter than asked: {self.rows or 1} rows and {self.held_out_rows} held out need "
                f"{need} examples of every class, and '{self.pool.names[short]}' has {int(self.pool.counts[short])}"
            )
        super().__post_init__()

    @property
    def room(self) -> int:
        return len(self._chosen)

    @property
    def names(self) -> list[str]:
        """What the classes are called, by their ids."""
        return [self.pool.names[i] for i in self._chosen.tolist()]

    @functools.cached_property
    def arriving(self) -> list[Numbers]:
        tasks = []
        for task, classes in enumerate(self._tasks):
            rows = np.concatenate([self._rows(c)[self.held_out_rows :][: self.rows] for c in classes.tolist()])
            tasks.append(rows[draws.permutation(draws.fold(self.key(_ORDER), task), len(rows))[0]])
        return tasks

    def kept(self, task: int) -> Numbers:
        return np.concatenate([self._rows(c)[: self.held_out_rows] for c in self._tasks[task].tolist()])

    def labels(self, rows: Numbers) -> Numbers:
        ids = np.full(len(self.pool), -1)
        ids[self._chosen] = np.arange(len(self._chosen))
        return ids[rows // self.pool.data.shape[1]]

    def describe(self) -> dict[str, object]:
        return {
            "kind": "class-incremental",
            **super().describe(),
            "classes_per_task": self.classes_per_task,
            "rows": self.rows,
            "held_out": self.held_out_rows,
        }

    @functools.cached_property
    def _chosen(self) -> Numbers:
        """Classes of the pool, by the id that they get."""
        return draws.permutation(self.key(_CLASSES), len(self.pool))[0][: self.classes]

    @property
    def _tasks(self) -> Numbers:
        return self._chosen.reshape(-1, self.classes_per_task)

    def _rows(self, c: int) -> Numbers:
        """All rows of a class, in random order, which does not depend on the others."""
        order = draws.permutation(draws.fold(self.key(_ROWS), c), int(self.pool.counts[c]))[0]
        return c * self.pool.data.shape[1] + order
