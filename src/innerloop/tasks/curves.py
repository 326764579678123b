"""Regression tasks of one input and one output: what all families of curves share."""

import abc
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from innerloop.core import notebook, random
from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Count, Natural, NotNegative
from innerloop.core.types import Batch, Episode
from innerloop.tasks import draws

Range = tuple[float, float]
"""Lowest and highest value of a uniform draw; equal: a constant."""

_DRAW = 0x51405
_X, _NUMBER, _NOISE, _ROWS = 1, 2, 3, 4
_SET = 0x7A5C5


@dataclass(frozen=True, kw_only=True)
class Curves(Checked, abc.ABC):
    """Tasks `y = f(x) + noise`, where every task has its f, drawn from a family that a subclass names.

    x is uniform. An episode is a function of its key alone, however many are drawn together.
    """

    kind: ClassVar[str]
    """The name of the family in records."""

    shots: Count = 10
    """Support points."""
    queries: Count = 10
    """Query points."""
    seed: int = 0
    inputs: Range = (-5.0, 5.0)
    """Where x is drawn from."""
    noise: NotNegative = 0.0
    """Standard deviation of what is added to every y, of support and query."""
    tasks: Count | None = None
    """So many tasks are drawn once, and every episode is new points of one of them; None: a new task for each."""
    fewest_shots: Natural | None = None
    """Ragged tasks: from so many support points to `shots`, the rest is padding under a mask; 0: some have none at all;
    None: always `shots`."""

    def __post_init__(self) -> None:
        if self.fewest_shots is not None and self.fewest_shots > self.shots:
            raise InputError(f"fewest_shots must be at most shots={self.shots}, got {self.fewest_shots}")
        check_range("inputs", self.inputs)

    @property
    def title(self) -> str:
        """What tables call tasks of the family."""
        return self.kind

    @abc.abstractmethod
    def curve(self, key: draws.Keys, x: Tensor) -> Tensor:
        """The values [count, n, 1] of the functions that `key` [count] stands for, at x [count, n, 1]; pure."""

    def deviation(self, key: draws.Keys) -> float | Tensor:
        """Standard deviation of the noise: a number, or [count, 1, 1] of the functions that `key` stands for."""
        return self.noise

    def episodes(self, first: int, count: int) -> Episode:
        """Episodes `first .. first + count - 1`, stacked: x and y [count, shots or queries, 1] float32."""
        return self.at(draws.keys(self.seed, first, count))

    def at(self, key: draws.Keys) -> Episode:
        """The episodes of [count] keys, stacked."""
        apart, s = draws.fold(key, _DRAW), self.shots
        x = scaled(from_numpy(draws.uniform(draws.fold(apart, _X), s + self.queries))[..., None], self.inputs)
        functions = self.functions(key)
        y, deviation = self.curve(functions, x), self.deviation(functions)
        if isinstance(deviation, Tensor) or deviation:
            drawn = random.normal(draws.tensor(draws.fold(apart, _NOISE)), tuple(x.shape[1:]), torch.float64)
            y = y + (deviation * drawn).to(y.dtype)
        seen, asked = (x[:, :s].contiguous(), y[:, :s].contiguous()), (x[:, s:].contiguous(), y[:, s:].contiguous())
        mask = None
        if self.fewest_shots is not None:
            rows = draws.between(draws.fold(apart, _ROWS), self.fewest_shots, s)
            mask = from_numpy(np.arange(s) < rows[:, None])  # [count, shots]
            seen = seen[0] * mask[..., None], seen[1] * mask[..., None]
        return Episode(Batch(*seen, mask, key=draws.tensor(key)), Batch(*asked, key=draws.tensor(apart)))

    def noiseless(self, queries: int) -> Self:
        """The same functions without noise, at so many points of the query; its first ones are where they were."""
        return replace(self, queries=max(queries, self.queries), noise=0.0)

    def functions(self, key: draws.Keys) -> draws.Keys:
        """The keys of the functions that episodes are about: of a finite set, equal where a task comes again."""
        apart = draws.fold(key, _DRAW)
        if self.tasks is None:
            return apart
        number = draws.between(draws.fold(apart, _NUMBER), 0, self.tasks - 1)
        return draws.fold(draws.fold(draws.keys(self.seed, 0, 1), _SET), number)

    def _repr_html_(self) -> str:
        about = self.describe()
        return notebook.described(f"tasks of {about['dataset']}", about)

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        names = [f.name for f in fields(self) if f.name not in ("shots", "queries", "seed")]
        about: dict[str, object] = {"kind": self.kind, "score": "mse", "dataset": self.kind, "shots": self.shots}
        about |= {"queries": self.queries, "seed": self.seed}
        return about | {name: _plain(getattr(self, name)) for name in names}


def scaled(u: Tensor, bounds: Range) -> Tensor:
    """Numbers in [0, 1) spread over a range."""
    return bounds[0] + (bounds[1] - bounds[0]) * u


def constants(key: draws.Keys, *bounds: Range) -> list[Tensor]:
    """A number [count, 1, 1] from each range; those of the first stay the same when more are asked for."""
    u = from_numpy(draws.uniform(draws.fold(key, 0), len(bounds)))  # [count, n]
    return [scaled(u[:, i, None, None], each) for i, each in enumerate(bounds)]


def check_range(name: str, bounds: Range, least: float = -np.inf) -> None:
    """Refuse bounds that are not a range.

    Args:
        name: Of the field.
        bounds: Its value.
        least: What the lower bound must be more than.

    Raises:
        InputError: The upper one is lower, or the lower one too low.
    """
    if not (least < bounds[0] <= bounds[1] < np.inf):
        above = "" if least == -np.inf else f", above {least:g}"
        raise InputError(f"{name} is the lowest and the highest value{above}, got {bounds[0]:g} and {bounds[1]:g}")


def _plain(value: object) -> object:
    return [_plain(v) for v in value] if isinstance(value, tuple) else value
