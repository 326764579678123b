"""Batches for training on many fixed tasks at once, whose classes are told apart among themselves only."""

import functools
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Count, Within
from innerloop.core.types import Batch, Episode
from innerloop.tasks import draws
from innerloop.tasks.episodes import DRAW, QUERY
from innerloop.tasks.pool import Pool, base_name


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskBatchSampler(Checked):
    """As `BatchSampler`, with every batch from the classes of one task, drawn uniformly; `classes` says which.

    The tasks are fixed: the groups of the pool (a rotated alphabet is one of its own) that have two classes or more, or
    where no groups are known its classes cut into tasks of `size` in their order.
    """

    pool: Pool
    batch_size: Count
    seed: int = 0
    size: Annotated[int, Within(2)] = 10
    """Classes of a task where there are no groups; the last ones may have one more."""

    def __post_init__(self) -> None:
        if not self.tasks:
            raise InputError(
                f"{self.pool.dataset} ({self.pool.split}) has {len(self.pool)} classes, and no two that belong together"
                ": give a pool whose classes have parts"
            )

    @functools.cached_property
    def tasks(self) -> tuple[tuple[int, ...], ...]:
        """The classes of each."""
        count = len(self.pool)
        if not self.pool.groups:
            parts = np.array_split(np.arange(count), max(1, count // self.size))
            return tuple(tuple(part.tolist()) for part in parts if len(part) > 1)
        members: dict[str, list[int]] = {}
        for i, (group, name) in enumerate(zip(self.pool.groups, self.pool.names, strict=True)):
            members.setdefault(group + name.removeprefix(base_name(name)), []).append(i)
        return tuple(tuple(classes) for classes in members.values() if len(classes) > 1)

    def episodes(self, first: int, count: int) -> Episode:
        """Batches `first .. first + count - 1`, stacked: support x [count, 0, ...], query x [count, size, ...]."""
        key = draws.keys(self.seed, first, count)
        task, classes, instances = self.draw(first, count)
        x = self.pool.rows(classes * self.pool.data.shape[1] + instances)
        y, present = classes.to(x.device), self._present[task].to(x.device)
        own, other = (draws.tensor(k).to(x.device) for k in (key, draws.fold(key, QUERY)))
        return Episode(Batch(x[:, :0], y[:, :0], classes=present, key=own), Batch(x, y, classes=present, key=other))

    def draw(self, first: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """The task of each batch [count], and the class and the instance of every row, both [count, batch_size]."""
        key = draws.fold(draws.keys(self.seed, first, count), DRAW)
        task = from_numpy(draws.between(draws.fold(key, 1), 0, len(self.tasks) - 1))
        counts = torch.where(self._present[task], self.pool.counts, 0)  # [count, classes]
        ends = counts.cumsum(1)
        row = from_numpy(draws.bits(draws.fold(key, 2), self.batch_size).astype(np.int64)) * ends[:, -1:] >> 32
        classes = torch.searchsorted(ends, row, right=True)
        return task, classes, row - (ends - counts).gather(1, classes)

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        return {
            "kind": "batches of one task",
            "score": "accuracy",
            **draws.drawn_from(self.pool),
            "ways": len(self.pool),
            "shots": 0,
            "tasks": len(self.tasks),
            "batch_size": self.batch_size,
            "seed": self.seed,
        }

    @functools.cached_property
    def _present(self) -> Tensor:
        """[tasks, classes] bool."""
        present = torch.zeros(len(self.tasks), len(self.pool), dtype=torch.bool)
        for row, classes in zip(present, self.tasks, strict=True):
            row[list(classes)] = True
        return present
