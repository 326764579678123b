"""Streams of labelled rows of a pool: which of them each task has, and in which order they come."""

import abc
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.core.ranges import Count
from innerloop.core.types import Batch
from innerloop.tasks import draws
from innerloop.tasks.draws import Keys, Numbers
from innerloop.tasks.pool import Pool
from innerloop.tasks.stream import Stream

_DRAW, _MIX = 0x57EA11, 1
"""Folded into the key of a seed for what a stream draws, apart from what learners fold into those of its batches."""


class Place(NamedTuple):
    """Where rows come from."""

    task: Numbers
    row: Numbers
    """`class * instances + instance` in the pool; -1: padding."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RowStream(Stream, abc.ABC):
    """Rows of a pool that come once, task after task; the last batch of a task may be padded.

    Raises:
        InputError: There are fewer rows, or classes, than are asked for.
    """

    pool: Pool
    order: Literal["tasks", "shuffled"] = "tasks"
    """shuffled: the same rows in random order, and no tasks: what a learner could reach that need not remember."""
    visits: Count = 1
    """How often every task comes, each time with other rows of its own: from the first to the last, and again."""
    boundaries: bool = True
    """Whether learners are told where a task ends."""

    def __post_init__(self) -> None:
        fewest = min(len(rows) for rows in self.arriving)
        if fewest < self.visits:
            raise InputError(
                f"{self.visits} visits of a task need as many rows, and one has {fewest}: lower visits, or give "
                "tasks more rows"
            )

    @functools.cached_property
    @abc.abstractmethod
    def arriving(self) -> list[Numbers]:
        """The rows of every task in the order of their arrival, by their places in the pool."""

    @abc.abstractmethod
    def kept(self, task: int) -> Numbers:
        """The held-out rows of a task, by their places in the pool."""

    @abc.abstractmethod
    def labels(self, rows: Numbers) -> Numbers:
        """The class id of every row, as the stream counts them."""

    def changed(self, x: Tensor, task: Tensor) -> Tensor:
        """Rows [n, ...] as the tasks [n] that they are in show them."""
        return x

    @property
    def tasks(self) -> int:
        return len(self.arriving)

    @property
    def told(self) -> bool:
        return self.boundaries and self.order == "tasks"

    @property
    def ends(self) -> Sequence[int]:
        return self._ends

    @functools.cached_property
    def _ends(self) -> tuple[int, ...]:
        batches = [-(-len(part.row) // self.batch_size) for part in self._parts]
        return tuple(np.cumsum(batches).tolist())

    def drawn(self, first: int, count: int) -> Batch:
        task, rows = (part[first : first + count] for part in self._places)
        padded = bool((self._places.row < 0).any())  # of the whole stream, so that all batches look alike
        mask = from_numpy(rows >= 0) if padded else None
        batch = self._batch(task.ravel(), rows.ravel())
        x = batch.x.view(*rows.shape, *batch.x.shape[1:])  # pyright: ignore[reportAttributeAccessIssue]
        classes = torch.ones(count, self.room, dtype=torch.bool)
        return Batch(x, batch.y.view(rows.shape), mask, classes, draws.tensor(draws.keys(self.seed, first, count)))

    def held_out(self, task: int) -> Batch:
        rows = self.kept(task)
        return self._batch(np.full(len(rows), task), rows)._replace(classes=torch.ones(self.room, dtype=torch.bool))

    def describe(self) -> dict[str, object]:
        pool = self.pool
        return {
            "score": "accuracy",
            "dataset": pool.dataset,
            "split": pool.split,
            "data_digest": pool.digest,
            "shape": list(pool.shape),
            "seed": self.seed,
            "batch_size": self.batch_size,
            "order": self.order,
            "visits": self.visits,
            "boundaries": self.told,
            "tasks": self.tasks,
            "room": self.room,
        }

    def key(self, purpose: int) -> Keys:
        """[1] the key of what the whole stream draws."""
        return draws.fold(draws.fold(draws.keys(self.seed, 0, 1), _DRAW), purpose)

    @functools.cached_property
    def _parts(self) -> list[Place]:
        """What comes between two ends."""
        if self.order == "shuffled":
            task = np.concatenate([np.full(len(rows), t) for t, rows in enumerate(self.arriving)])
            order = draws.permutation(self.key(_MIX), len(task))[0]
            return [Place(task[order], np.concatenate(self.arriving)[order])]
        visits = [np.array_split(rows, self.visits) for rows in self.arriving]
        return [
            Place(np.full(len(rows[visit]), t), rows[visit])
            for visit in range(self.visits)
            for t, rows in enumerate(visits)
        ]

    @functools.cached_property
    def _places(self) -> Place:
        """[batches, batch_size] of each."""
        task, row = np.zeros(self.ends[-1] * self.batch_size, np.int64), np.full(self.ends[-1] * self.batch_size, -1)
        for part, start in zip(self._parts, (0, *self.ends), strict=False):
            here = slice(start * self.batch_size, start * self.batch_size + len(part.row))
            task[here], row[here] = part
        return Place(task.reshape(-1, self.batch_size), row.reshape(-1, self.batch_size))

    def _batch(self, task: Numbers, rows: Numbers) -> Batch:
        real = rows >= 0
        x = self.changed(self.pool.rows(from_numpy(np.maximum(rows, 0))), from_numpy(task))
        y = np.where(real, self.labels(np.maximum(rows, 0)), -1)
        if not real.all():
            x = x * from_numpy(real).view(-1, *(1,) * (x.dim() - 1))
        return Batch(x, from_numpy(y))
