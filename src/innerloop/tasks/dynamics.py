"""A mass on a spring with a damper, whose constants change: a stream to adapt to while it runs.

The setting of Nagabandi et al., ICLR 2019 (arXiv 1803.11347), small enough to be known exactly.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Count
from innerloop.core.types import Batch, Episode
from innerloop.tasks import draws

_MASS, _SPRING, _DAMPER = (0.5, 2.0), (0.5, 5.0), (0.3, 1.5)
_DT = 0.1
"""Seconds between two transitions."""
_INNER = 4
"""Semi-implicit Euler steps within one."""
_FORCE = 3.0
_SCALE = np.array([0.1, 0.25], np.float32)
"""Scales of the changes of position and velocity, so that targets are of size 1."""
_DRAW = 0x5B12D


@dataclass(frozen=True, kw_only=True)
class MassSpringDamper(Checked):
    """Task: from position, velocity and force [3] to how much the first two change until the next transition [2].

    Support and query follow one another in time, under constants that are drawn for each task: mass from [0.5, 2],
    spring from [0.5, 5], damper from [0.3, 1.5], all uniform. A random force in [-3, 3] is applied at every transition.
    """

    shots: Count = 16
    """Transitions that are seen (the paper's M)."""
    queries: Count = 16
    """Transitions that follow (K)."""
    seed: int = 0

    def episodes(self, first: int, count: int) -> Episode:
        """Episodes `first .. first + count - 1`, stacked: x [count, n, 3] and y [count, n, 2] float32."""
        key = draws.keys(self.seed, first, count)
        apart = draws.fold(key, _DRAW)
        x, y = _simulate(apart, self.shots + self.queries, self.shots + self.queries)
        s = self.shots
        return Episode(
            Batch(x[:, :s].contiguous(), y[:, :s].contiguous(), key=draws.tensor(key)),
            Batch(x[:, s:].contiguous(), y[:, s:].contiguous(), key=draws.tensor(apart)),
        )

    def stream(self, index: int, length: int, period: int = 200) -> Batch:
        """One long run, not cut into tasks: [length] transitions whose constants change every `period` of them."""
        if min(length, period) < 1:
            raise InputError(f"length and period must be at least 1, got {length} and {period}")
        x, y = _simulate(draws.fold(draws.keys(self.seed, index, 1), _DRAW + 1), length, period)
        return Batch(x[0], y[0])

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        about: dict[str, object] = {"kind": "mass-spring-damper", "score": "mse", "dataset": "mass-spring-damper"}
        return about | {"shots": self.shots, "queries": self.queries, "seed": self.seed}


def _simulate(key: draws.Keys, length: int, period: int) -> tuple[torch.Tensor, torch.Tensor]:
    """[tasks, length, 3] states with forces and [tasks, length, 2] scaled changes."""
    # As widely as the force spreads them in the long run, so that a task looks like any part of a stream.
    start = 2 * draws.uniform(draws.fold(key, 0), 2) - 1
    position, velocity = 1.5 * start[:, 0], 2 * start[:, 1]
    force = _FORCE * (2 * draws.uniform(draws.fold(key, 1), length) - 1)  # [tasks, length]
    x, y = np.empty((len(key), length, 3), np.float32), np.empty((len(key), length, 2), np.float32)
    mass = spring = damper = np.empty(0, np.float32)
    for t in range(length):
        if t % period == 0:
            u = draws.uniform(draws.fold(key, 2 + t // period), 3)
            mass, spring, damper = (_between(u[:, i], b) for i, b in enumerate((_MASS, _SPRING, _DAMPER)))
        x[:, t] = np.stack([position, velocity, force[:, t]], 1)
        for _ in range(_INNER):
            velocity = velocity + _DT / _INNER * (force[:, t] - spring * position - damper * velocity) / mass
            position = position + _DT / _INNER * velocity
        y[:, t] = (np.stack([position, velocity], 1) - x[:, t, :2]) / _SCALE
    return from_numpy(x), from_numpy(y)


def _between(u: NDArray[np.float32], bounds: tuple[float, float]) -> NDArray[np.float32]:
    return np.float32(bounds[0]) + np.float32(bounds[1] - bounds[0]) * u
