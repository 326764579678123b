"""Sinusoids that arrive one after another, a few points of each: a stream of regressions for learners that adapt."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.errors import InputError
from innerloop.core.ranges import Count
from innerloop.core.types import Batch
from innerloop.tasks.regression import Sinusoid
from innerloop.tasks.stream import Stream

_HELD_OUT = 100
"""Points of each that it is measured on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SinusoidRounds(Stream):
    """Round t has `points` points of the sinusoid of task t of `tasks.Sinusoid`, `batch_size` at a time."""

    rounds: Count = 60
    points: Count = 10

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.points % self.batch_size:
            raise InputError(
                f"a round has {self.points} points, which batches of {self.batch_size} do not divide: choose another "
                "batch_size"
            )

    @property
    def ends(self) -> Sequence[int]:
        each = self.points // self.batch_size
        return range(each, each * (self.rounds + 1), each)

    @property
    def room(self) -> int:
        return 0

    @property
    def anew(self) -> bool:
        return True

    def drawn(self, first: int, count: int) -> Batch:
        each = self.points // self.batch_size
        begin, offset = divmod(first, each)
        support = self._tasks.episodes(begin, (first + count - 1) // each - begin + 1).support

        def batches(rows: Tensor) -> Tensor:
            return rows.reshape(-1, self.batch_size, 1)[offset : offset + count]

        assert isinstance(support.x, Tensor)
        keys = random.mix(self.seed, torch.arange(first, first + count))
        return Batch(batches(support.x), batches(support.y), key=keys)

    def held_out(self, task: int) -> Batch:
        query = self._tasks.episodes(task, 1).query
        assert isinstance(query.x, Tensor) and query.key is not None
        return Batch(query.x[0], query.y[0], key=query.key[0])

    def describe(self) -> dict[str, object]:
        about = {k: getattr(self, k) for k in ("rounds", "points", "batch_size", "seed")}
        return {"kind": "sinusoid-rounds", "score": "mse", "dataset": "sinusoid", "anew": True, **about}

    @property
    def _tasks(self) -> Sinusoid:
        return Sinusoid(shots=self.points, queries=_HELD_OUT, seed=self.seed)
