"""Sinusoid regression, the toy problem of MAML: Finn, Abbeel, Levine, ICML 2017 (arXiv 1703.03400)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.core.types import Batch, Episode
from innerloop.tasks import draws

_AMPLITUDE = (0.1, 5.0)
_PHASE = (0.0, math.pi)
_X = (-5.0, 5.0)
_DRAW = 0x51405


@dataclass(frozen=True, kw_only=True)
class Sinusoid:
    """Tasks `y = A sin(x - phase)`: A from [0.1, 5], the phase from [0, pi], x from [-5, 5], all uniform, no noise."""

    shots: int = 10
    """Support points."""
    queries: int = 10
    """Query points."""
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.shots, self.queries) < 1:
            raise InputError(f"shots and queries must be at least 1, got {self.shots} and {self.queries}")

    def episodes(self, first: int, count: int) -> Episode:
        """Episodes `first .. first + count - 1`, stacked: x and y [count, shots or queries, 1] float32."""
        key, rows = draws.keys(self.seed, first, count), self.shots + self.queries
        apart = draws.fold(key, _DRAW)
        amplitude, phase = (v[:, None, None] for v in self.draw(first, count))
        x = _scale(from_numpy(draws.uniform(draws.fold(apart, 1), rows))[..., None], _X)
        y = amplitude * torch.sin(x - phase)
        s = self.shots
        return Episode(
            Batch(x[:, :s].contiguous(), y[:, :s].contiguous(), key=draws.tensor(key)),
            Batch(x[:, s:].contiguous(), y[:, s:].contiguous(), key=draws.tensor(apart)),
        )

    def draw(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Amplitudes and phases, both [count]: what the tasks are."""
        key = draws.fold(draws.keys(self.seed, first, count), _DRAW)
        u = from_numpy(draws.uniform(draws.fold(key, 0), 2))  # [count, 2]
        return _scale(u[:, 0], _AMPLITUDE), _scale(u[:, 1], _PHASE)

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        about: dict[str, object] = {"kind": "sinusoid", "score": "mse", "dataset": "sinusoid"}
        return about | {"shots": self.shots, "queries": self.queries, "seed": self.seed}


def _scale(u: Tensor, bounds: tuple[float, float]) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * u
