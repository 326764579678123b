"""Linear regressions whose weights lie in a subspace that slowly turns."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.errors import InputError
from innerloop.core.ranges import Count, NotNegative
from innerloop.core.types import Batch
from innerloop.tasks.stream import Stream

_SPACE, _TURN, _TASK, _ROWS, _NOISE, _HELD = range(0xB0, 0xB6)


@dataclass(frozen=True, kw_only=True, eq=False)
class RotatingSubspace(Stream):
    """Task t is `y = x' w + noise` with w in `S_t`, one batch a task; `S_t` turns by a rotation about many axes.

    x is standard normal, and so are the `rank` coordinates of w in `S_t`.
    """

    batch_size: int = 25
    rounds: Count = 300
    inputs: Count = 50
    """Numbers of an x."""
    rank: Count = 3
    """Dimensions of the subspace."""
    degrees: NotNegative = 0.5
    """Largest principal angle between the subspaces of a task and of the next."""
    noise: NotNegative = 0.0
    """Standard deviation of what is added to every y."""

    def __post_init__(self) -> None:
        if 2 * self.rank > self.inputs:
            raise InputError(f"a subspace that turns needs room: rank at most {self.inputs // 2}, got {self.rank}")

    @property
    def ends(self) -> Sequence[int]:
        return range(1, self.rounds + 1)

    @property
    def room(self) -> int:
        return 0

    @property
    def anew(self) -> bool:
        return True

    def basis(self, task: int) -> Tensor:
        """[inputs, rank] float64, orthonormal."""
        start, turn = self._turning
        return torch.matrix_exp(task * turn) @ start

    def drawn(self, first: int, count: int) -> Batch:
        keys = random.mix(self.seed, torch.arange(first, first + count))
        x = random.normal(random.fold(keys, _ROWS), (self.batch_size, self.inputs))
        noise = self.noise * random.normal(random.fold(keys, _NOISE), (self.batch_size, 1))
        return Batch(x, x @ self._weights(first, count) + noise, key=keys)

    def held_out(self, task: int) -> Batch:
        """100 rows without noise."""
        key = random.mix(self.seed, task)
        x = random.normal(random.fold(key, _HELD), (100, self.inputs))
        return Batch(x, x @ self._weights(task, 1)[0], key=key)

    def describe(self) -> dict[str, object]:
        about = {k: getattr(self, k) for k in ("tasks", "inputs", "rank", "degrees", "noise", "batch_size", "seed")}
        return {"kind": "rotating-subspace", "score": "mse", "dataset": "rotating-subspace", "anew": True, **about}

    def _weights(self, first: int, count: int) -> Tensor:
        """[count, inputs, 1]."""
        keys = random.fold(random.mix(self.seed, torch.arange(first, first + count)), _TASK)
        coordinates = random.normal(keys, (self.rank, 1), torch.float64)
        bases = torch.stack([self.basis(task) for task in range(first, first + count)])
        return (bases @ coordinates).float()

    @functools.cached_property
    def _turning(self) -> tuple[Tensor, Tensor]:
        """The first basis, and a skew matrix whose exponential turns it by so many degrees."""
        key = random.mix(self.seed, 0)
        square = random.normal(random.fold(key, _TURN), (self.inputs, self.inputs), torch.float64)
        start = torch.linalg.qr(random.normal(random.fold(key, _SPACE), (self.inputs, self.rank), torch.float64)).Q
        turn = square - square.T
        out = turn @ start - start @ (start.T @ turn @ start)
        return start, turn * (math.radians(self.degrees) / torch.linalg.matrix_norm(out, 2))
