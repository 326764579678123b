"""Small tasks with known answers, on which every learner is checked."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from innerloop.core import random
from innerloop.core.types import Batch, Episode
from innerloop.learners import catalogue

INPUTS, FEATURES = 8, 6


def classifiers() -> list[str]:
    """Learners of the catalogue that tell classes apart; the others learn values alone."""
    return [name for name, learner in catalogue().items() if "classes" in learner.targets]


def encoder() -> nn.Module:
    """Smooth, so that finite differences hold, and normalised, so that statistics matter.

    No bias before the norm: its gradient is rounding, which Adam would turn into full steps.
    """
    return nn.Sequential(
        nn.Linear(INPUTS, FEATURES, bias=False), nn.BatchNorm1d(FEATURES), nn.Tanh(), nn.Linear(FEATURES, FEATURES)
    )


def classifier() -> nn.Module:
    return nn.Sequential(encoder(), nn.Tanh(), nn.Linear(FEATURES, 3))


def rowwise() -> nn.Module:
    """A classifier that sees every row by itself, for learning on a stream."""
    return nn.Sequential(nn.Linear(INPUTS, FEATURES), nn.Tanh(), nn.Linear(FEATURES, 3))


def vector() -> nn.Module:
    return nn.Linear(4, 1, bias=False)


def inputs(batch: Batch) -> Tensor:
    """Inputs that are one tensor."""
    assert isinstance(batch.x, Tensor)
    return batch.x


def real(batch: Batch) -> Tensor:
    """[n] which rows are no padding, of a batch that says."""
    assert batch.mask is not None
    return batch.mask


def named_input(batch: Batch, name: str) -> Tensor:
    """One of several inputs."""
    assert isinstance(batch.x, dict)
    return batch.x[name]


def half_squares(outputs: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
    """`0.5 |outputs - y|^2`: with `vector`, the quadratic task `0.5 (t - c)' A (t - c)`, A = x'x and y = x c."""
    return 0.5 * (outputs - y).square().sum()


@dataclass(frozen=True)
class NeedlesInNoise:
    """Classes that differ in two of eight inputs; the other six are louder noise, so distances must be learned."""

    ways: int = 3
    shots: int = 4
    queries: int = 5
    seed: int = 0
    dtype: torch.dtype = torch.float64
    fixed: bool = False
    """The same classes in every task, without a support: plain classification."""

    def episodes(self, first: int, count: int) -> Episode:
        keys = random.mix(self.seed, torch.arange(first, first + count))  # [count]
        drawn = random.mix(9, 9).expand(count) if self.fixed else keys
        means = 2.5 * random.normal(random.fold(drawn, 0), (self.ways, 2), self.dtype)
        support = self._batch(random.fold(keys, 1), means, 0 if self.fixed else self.shots)
        return Episode(support, self._batch(random.fold(keys, 2), means, self.queries))

    def describe(self) -> dict[str, object]:
        return {
            "kind": "needles",
            "score": "accuracy",
            "ways": self.ways,
            "shots": self.shots,
            "queries": self.queries,
            "seed": self.seed,
        }

    def _batch(self, keys: Tensor, means: Tensor, each: int) -> Batch:
        y = torch.arange(self.ways).repeat(each)
        noise = random.normal(keys, (len(y), INPUTS), self.dtype)  # [count, n, 8]
        scale = torch.tensor([0.3] * 2 + [3.0] * (INPUTS - 2), dtype=self.dtype)
        x = noise * scale + F.pad(means[:, y], (0, INPUTS - 2))
        classes = torch.ones(len(keys), self.ways, dtype=torch.bool)
        return Batch(x, y.expand(len(keys), -1).contiguous(), classes=classes, key=keys)


@dataclass(frozen=True)
class RaggedPlanes:
    """Values of three planes over eight inputs that lean in two of them alone, around a height all tasks share.

    No two tasks need have as many rows: those that are missing are padding, in the middle of the others. With `fewest`
    None, none are, and there is no mask.
    """

    shots: int = 12
    queries: int = 8
    fewest: int | None = 5
    seed: int = 0
    dtype: torch.dtype = torch.float64

    def episodes(self, first: int, count: int) -> Episode:
        keys = random.mix(self.seed, torch.arange(first, first + count))  # [count]
        slopes = random.normal(random.fold(keys, 0), (2, 3), self.dtype)
        support = self._batch(random.fold(keys, 1), slopes, self.shots)
        return Episode(support, self._batch(random.fold(keys, 2), slopes, self.queries))

    def describe(self) -> dict[str, object]:
        return {"kind": "planes", "score": "mse", "shots": self.shots, "queries": self.queries, "seed": self.seed}

    def _batch(self, keys: Tensor, slopes: Tensor, rows: int) -> Batch:
        x = random.normal(random.fold(keys, 0), (rows, INPUTS), self.dtype)
        y = x[..., :2] @ slopes + torch.tensor([1.0, -2.0, 3.0], dtype=self.dtype)
        if self.fewest is None:
            return Batch(x, y, key=keys)
        real = self.fewest + random.bits(random.fold(keys, 1), ()) % (rows - self.fewest + 1)
        mask = random.permutation(random.fold(keys, 2), rows) < real[:, None]
        return Batch(x * mask[..., None], y * mask[..., None], mask, key=keys)


def real_rows(batch: Batch) -> Batch:
    """One task without its padding."""
    x: Any = batch.x
    assert batch.mask is not None
    return batch._replace(x=x[batch.mask], y=batch.y[batch.mask], mask=None)


@dataclass(frozen=True)
class HalfLabelled:
    """Tasks of a sampler whose support shows only every second label."""

    sampler: Any

    def episodes(self, first: int, count: int) -> Episode:
        support, query = self.sampler.episodes(first, count)
        shown = torch.arange(support.y.shape[1]) // self.sampler.ways % 2 == 0
        return Episode(support._replace(y=torch.where(shown, support.y, -1)), query)

    def describe(self) -> dict[str, object]:
        return {**self.sampler.describe(), "labelled": 0.5}


def quadratics(tasks: int, seed: int = 0) -> Episode:
    """For `vector`: support and query losses `0.5 (t - c)' A (t - c)` and `0.5 (t - e)' B (t - e)`."""
    generator = torch.Generator().manual_seed(seed)

    def batch() -> Batch:
        x = torch.randn(tasks, 6, 4, generator=generator, dtype=torch.float64) / 3
        return Batch(x, x @ torch.randn(tasks, 4, 1, generator=generator, dtype=torch.float64))

    return Episode(batch(), batch())


def solved(batch: Batch) -> tuple[Tensor, Tensor]:
    """A and c of the quadratic of one task."""
    x: Any = batch.x
    return x.T @ x, torch.linalg.lstsq(x, batch.y).solution[:, 0]
