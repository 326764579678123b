"""Linear and logistic regression as tasks: families in which what meta-learning ends in can be computed by hand."""

from dataclasses import dataclass

import numpy as np
import torch

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.core.random import normal
from innerloop.core.ranges import Checked, Count, NotNegative
from innerloop.core.types import Batch, Episode
from innerloop.tasks import draws

_DRAW, _WEIGHTS, _X, _NOISE = 0x11EA6, 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class LinearTasks(Checked):
    """Tasks `y = x w + noise`, or classes 0 and 1 of which 1 has the probability `sigmoid(x w)`.

    Every task has its weights w, drawn from a normal distribution around `mean`: what tasks share is `mean` alone. x is
    standard normal; the last weight is that of a constant 1 which x does not hold, the bias.

    Raises:
        InputError: There is no weight besides the bias.
    """

    mean: tuple[float, ...] = (1.0, 0.0)
    """Mean of the weights, the bias last."""
    spread: NotNegative = 1.0
    """Standard deviation of each weight."""
    noise: NotNegative = 0.0
    """Standard deviation of what is added to values; classes are random anyway."""
    logistic: bool = False
    """Classes instead of values."""
    shots: Count = 5
    """Support points."""
    queries: Count = 20
    """Query points."""
    seed: int = 0
    repeat: Count | None = None
    """So many episodes come again in turn, points and all, so that training on them has one optimum; None: never."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.mean) < 2:
            raise InputError(f"mean needs a weight for at least one input, and that of the bias last; got {self.mean}")

    def episodes(self, first: int, count: int) -> Episode:
        """Episodes `first .. first + count - 1`, stacked: x [count, n, d] float32, y [count, n, 1] or [count, n]."""
        key, s = self._keys(first, count), self.shots
        apart = draws.fold(key, _DRAW)
        rows, inputs = s + self.queries, len(self.mean) - 1
        x = normal(draws.tensor(draws.fold(apart, _X)), (rows, inputs), torch.float64)
        weights = self._weights(apart)
        y = x @ weights[:, :-1, None] + weights[:, -1:, None]  # [count, rows, 1]
        drawn = draws.fold(apart, _NOISE)
        classes = None
        if self.logistic:
            chance = from_numpy(draws.uniform(drawn, rows))
            y, classes = (chance < y[..., 0].sigmoid()).long(), torch.ones(count, 2, dtype=torch.bool)
        else:
            y = (y + self.noise * normal(draws.tensor(drawn), (rows, 1), torch.float64)).float()
        x = x.float()
        return Episode(
            Batch(x[:, :s].contiguous(), y[:, :s].contiguous(), classes=classes, key=draws.tensor(key)),
            Batch(x[:, s:].contiguous(), y[:, s:].contiguous(), classes=classes, key=draws.tensor(apart)),
        )

    def draw(self, first: int, count: int) -> torch.Tensor:
        """[count, d + 1] weights of the tasks, the bias last: what the tasks are."""
        return self._weights(draws.fold(self._keys(first, count), _DRAW)).float()

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        kind = "logistic-tasks" if self.logistic else "linear-tasks"
        about: dict[str, object] = {"kind": kind, "score": "accuracy" if self.logistic else "mse", "dataset": kind}
        about |= {"ways": 2, "shape": [len(self.mean) - 1]} if self.logistic else {}
        about |= {"shots": self.shots, "queries": self.queries, "seed": self.seed, "mean": list(self.mean)}
        return about | {"spread": self.spread, "noise": self.noise, "repeat": self.repeat}

    def _keys(self, first: int, count: int) -> draws.Keys:
        if self.repeat is None:
            return draws.keys(self.seed, first, count)
        return draws.keys(self.seed, 0, self.repeat)[np.arange(first, first + count) % self.repeat]

    def _weights(self, apart: draws.Keys) -> torch.Tensor:
        own = normal(draws.tensor(draws.fold(apart, _WEIGHTS)), (len(self.mean),), torch.float64)
        return torch.tensor(self.mean, dtype=torch.float64) + self.spread * own
