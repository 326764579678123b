"""Domain-incremental streams: the same classes all the time, and every task shows them otherwise.

Rotations and permutations of pixels as of Lopez-Paz and Ranzato (NeurIPS 2017, https://arxiv.org/abs/1706.08840),
rainbow digits as of Finn et al. (ICML 2019, https://arxiv.org/abs/1902.08438).
"""

import abc
import functools
import math
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from innerloop.core import random
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Count, Within
from innerloop.tasks import draws
from innerloop.tasks.augment import turned
from innerloop.tasks.draws import Numbers
from innerloop.tasks.row_stream import RowStream

_HELD, _ORDER = 5, 6


@dataclass(frozen=True, kw_only=True)
class Change(Checked, abc.ABC):
    """How tasks show the same rows."""

    @property
    @abc.abstractmethod
    def tasks(self) -> int:
        """How many there are."""

    @abc.abstractmethod
    def __call__(self, x: Tensor, task: Tensor) -> Tensor:
        """Rows [n, ...] as the tasks [n] show them; a row does not depend on the others."""

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of a row that was of this shape."""
        return shape


@dataclass(frozen=True, kw_only=True)
class Rotated(Change):
    """Pictures turned by 0, 180 / angles, 360 / angles, ... degrees."""

    angles: Count = 10

    @property
    def tasks(self) -> int:
        return self.angles

    def __call__(self, x: Tensor, task: Tensor) -> Tensor:
        return turned(x, task * (math.pi / self.angles))


@dataclass(frozen=True, kw_only=True)
class Permuted(Change):
    """The numbers of a row in another order in every task, in their own in the first."""

    permutations: Count = 10
    order_seed: int = 0
    """Seed of the permutations."""

    @property
    def tasks(self) -> int:
        return self.permutations

    def __call__(self, x: Tensor, task: Tensor) -> Tensor:
        flat = x.flatten(1)
        keys = random.mix(self.order_seed, torch.arange(self.permutations))
        orders = random.permutation(keys, flat.shape[1])  # [tasks, d]
        orders[0] = torch.arange(flat.shape[1])
        return flat.gather(1, orders[task]).view_as(x)


_COLOURS = ((1, 0, 0), (1, 0.5, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (0.3, 0, 0.5), (0.6, 0, 1))
"""Red, orange, yellow, green, blue, indigo, violet."""
_SIZES, _TURNS = 2, 4


@dataclass(frozen=True, kw_only=True)
class Rainbow(Change):
    """Pictures in 7 colours, 2 sizes and 4 rotations, in an order that `order_seed` draws: 56 tasks.

    They become twice as high and wide, so that the small ones keep their pixels.
    """

    order_seed: int = 0
    first: Annotated[int, Within(1, len(_COLOURS) * _SIZES * _TURNS)] | None = None
    """Only so many of them; None: all."""

    @property
    def tasks(self) -> int:
        return self.first or len(_COLOURS) * _SIZES * _TURNS

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (3, *(2 * side for side in shape[1:]))

    def __call__(self, x: Tensor, task: Tensor) -> Tensor:
        number = random.permutation(random.mix(self.order_seed, 0), len(_COLOURS) * _SIZES * _TURNS)[task]
        colour, small, turn = number % len(_COLOURS), number // len(_COLOURS) % _SIZES, number // (len(_COLOURS) * 2)
        high, wide = x.shape[-2:]
        large = interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        little = pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        grey = torch.where(small[:, None, None, None] == 1, little, large)
        turns = torch.stack([grey.rot90(k, dims=(-2, -1)) for k in range(_TURNS)])
        grey = turns[turn, torch.arange(len(x))]
        return grey * torch.tensor(_COLOURS)[colour][:, :, None, None]


@dataclass(frozen=True, kw_only=True, eq=False)
class DomainStream(RowStream):
    """All classes of a pool in every task, shown as `change` says.

    Raises:
        InputError: The pool has fewer rows, or they cannot be changed so.
    """

    change: Change
    rows: Count = 1300
    """How many arrive in a task; another choice of them in each, where there are more."""
    held_out_rows: Count = 497
    """How many never arrive in any task, on which all are measured."""

    def __post_init__(self) -> None:
        have, need = int(self.pool.counts.sum()), self.rows + self.held_out_rows
        if need > have:
            raise InputError(
                f"the stream is shorter than asked: {self.rows} rows and {self.held_out_rows} held out need {need} "
                f"examples, and {self.pool.dataset} ({self.pool.split}) has {have}"
            )
        shape = self.pool.shape
        if not isinstance(self.change, Permuted) and (len(shape) != 3 or shape[1] != shape[2] or shape[0] != 1):
            kind = type(self.change).__name__.lower()
            raise InputError(f"only square grey pictures can be {kind}; examples are {list(shape)}")
        super().__post_init__()

    @property
    def room(self) -> int:
        return len(self.pool)

    @functools.cached_property
    def arriving(self) -> list[Numbers]:
        coming = self._mixed[self.held_out_rows :]
        keys = [draws.fold(self.key(_ORDER), task) for task in range(self.change.tasks)]
        return [coming[draws.permutation(key, len(coming))[0][: self.rows]] for key in keys]

    def kept(self, task: int) -> Numbers:
        return self._mixed[: self.held_out_rows]

    def labels(self, rows: Numbers) -> Numbers:
        return rows // self.pool.data.shape[1]

    def changed(self, x: Tensor, task: Tensor) -> Tensor:
        return self.change(x, task)

    def describe(self) -> dict[str, object]:
        about = super().describe() | {"shape": list(self.change.shape(self.pool.shape))}
        change = {"change": type(self.change).__name__.lower(), **asdict(self.change)}
        return {"kind": "domain-incremental", **about, **change, "rows": self.rows, "held_out": self.held_out_rows}

    @functools.cached_property
    def _mixed(self) -> Numbers:
        instances = np.arange(self.pool.data.shape[1])
        real = np.flatnonzero(instances < self.pool.counts.numpy()[:, None])
        return real[draws.permutation(self.key(_HELD), len(real))[0]]
