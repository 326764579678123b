"""Families of curves: sinusoids, polynomials, curves of Gaussian processes, and mixtures of families.

Sinusoids are the toy problem of MAML (Finn, Abbeel, Levine, ICML 2017, arXiv 1703.03400), mixtures of families that of
learners which tell kinds of tasks apart (Yao et al., ICML 2019, arXiv 1905.05301), Gaussian processes that of neural
processes (Garnelo et al., ICML 2018, arXiv 1807.01613).
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.core.objectives import weights
from innerloop.core.predictive import Predictive
from innerloop.core.ranges import Checked, Natural, NotNegative
from innerloop.core.types import Batch, Episode
from innerloop.tasks import draws
from innerloop.tasks.curves import Curves, Range, check_range, constants

_JITTER = 1e-9
"""Relative to a curve's variance: points that coincide have a singular covariance."""
_CURVE, _FAMILY = 5, 0xFA417
_COEFFICIENTS: dict[int, tuple[Range, ...]] = {
    1: ((-3.0, 3.0), (-3.0, 3.0)),
    2: ((-3.0, 3.0), (-2.0, 2.0), (-0.2, 0.2)),
    3: ((-3.0, 3.0), (-2.0, 2.0), (-0.2, 0.2), (-0.1, 0.1)),
}
"""By degree, from the constant on: over x from -5 to 5, no term outgrows the others."""


@dataclass(frozen=True, kw_only=True)
class Sinusoid(Curves):
    """Tasks `y = A sin(frequency x - phase)`: `sinusoids`.

    As they stand, the fields are MAML's: A from [0.1, 5], the phase from [0, pi], one frequency, no noise.
    """

    kind = "sinusoid"

    amplitude: Range = (0.1, 5.0)
    phase: Range = (0.0, math.pi)
    frequency: Range = (1.0, 1.0)
    """Radians per unit of x."""
    relative_noise: NotNegative = 0.0
    """Standard deviation of what is added to every y, as a share of the task's amplitude, beside `noise`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("amplitude", "phase", "frequency"):
            check_range(name, getattr(self, name))

    def curve(self, key: draws.Keys, x: Tensor) -> Tensor:
        amplitude, phase, frequency = constants(key, self.amplitude, self.phase, self.frequency)
        return amplitude * torch.sin(frequency * x - phase)

    def noiseless(self, queries: int) -> Self:
        return replace(super().noiseless(queries), relative_noise=0.0)

    def deviation(self, key: draws.Keys) -> float | Tensor:
        if not self.relative_noise:
            return self.noise
        (amplitude,) = constants(key, self.amplitude)
        return (self.noise**2 + (self.relative_noise * amplitude.double()).square()).sqrt()

    def draw(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Amplitudes and phases, both [count]: what the tasks are."""
        key = self.functions(draws.keys(self.seed, first, count))
        amplitude, phase = constants(key, self.amplitude, self.phase)
        return amplitude.flatten(), phase.flatten()

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`; what is as in MAML stays out, so that earlier results compare."""
        usual = Sinusoid(shots=self.shots, queries=self.queries, seed=self.seed)
        plain, about = Curves.describe(usual), super().describe()
        always = ("kind", "score", "dataset", "shots", "queries", "seed")
        return {k: v for k, v in about.items() if k in always or v != plain[k]}


@dataclass(frozen=True, kw_only=True)
class Polynomial(Curves):
    """Tasks `y = c0 + c1 x + c2 x^2 + ...` with uniform coefficients: `polynomials`, as lines, quadratics or cubics."""

    kind = "polynomial"

    degree: Natural = 1
    """1: lines, 2: quadratics, 3: cubics; another one needs `coefficients`."""
    coefficients: tuple[Range, ...] = ()
    """Ranges of c0, c1 and so on; (): those of the degree."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.coefficients and self.degree not in _COEFFICIENTS:
            raise InputError(
                f"a polynomial of degree {self.degree} needs the ranges of its {self.degree + 1} coefficients"
            )
        if self.coefficients and len(self.coefficients) != self.degree + 1:
            raise InputError(
                f"degree {self.degree} has {self.degree + 1} coefficients, got {len(self.coefficients)} ranges"
            )
        for i, bounds in enumerate(self.coefficients):
            check_range(f"coefficient {i}", bounds)

    @property
    def title(self) -> str:
        return {1: "line", 2: "quadratic", 3: "cubic"}.get(self.degree, f"polynomial of degree {self.degree}")

    def curve(self, key: draws.Keys, x: Tensor) -> Tensor:
        *others, highest = constants(key, *(self.coefficients or _COEFFICIENTS[self.degree]))
        y = highest.expand_as(x)
        for coefficient in reversed(others):
            y = y * x + coefficient
        return y


@dataclass(frozen=True, kw_only=True)
class GPCurves(Curves):
    """Tasks are draws of Gaussian processes with an RBF kernel: `gp-curves`.

    The kernel is `scale^2 exp(-(x - x')^2 / (2 lengthscale^2))`; each has its lengthscale and scale. A curve is known
    only at the points of its episode, so a finite set of such tasks, each met at ever new points, is refused.
    """

    kind = "gp-curves"

    inputs: Range = (-2.0, 2.0)
    lengthscale: Range = (0.1, 0.6)
    """In units of x."""
    scale: Range = (0.1, 1.0)
    """Standard deviation of a curve."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("lengthscale", "scale"):
            check_range(name, getattr(self, name), least=0.0)
        if self.tasks is not None:
            raise InputError(
                "a curve of a Gaussian process is known only where it was drawn: leave out `tasks`, or take sinusoids "
                "or polynomials for a finite set of tasks"
            )

    def curve(self, key: draws.Keys, x: Tensor) -> Tensor:
        lengthscale, scale = (v.flatten().double().numpy() for v in constants(key, self.lengthscale, self.scale))
        points = x[..., 0].double().numpy()  # [count, n]
        normal = random.normal(draws.tensor(draws.fold(key, _CURVE)), (points.shape[1],), torch.float64).numpy()
        y = np.empty_like(points)
        # One after another: a matrix product of many would be rounded otherwise than that of one.
        for i, row in enumerate(points):
            covariance = np.exp(-0.5 * ((row[:, None] - row) / lengthscale[i]) ** 2)
            root = np.linalg.cholesky(covariance + _JITTER * np.eye(len(row)))
            y[i] = scale[i] * (root @ normal[i])
        return from_numpy(y.astype(np.float32))[..., None]

    def exact(self, support: Batch, x: Tensor) -> Predictive:
        """What a support says of targets, by the very process: on average, no learner's likelihood is better.

        Args:
            support: Of one episode, with its mask.
            x: [n, 1] inputs of its query.

        Raises:
            InputError: Curves have no one lengthscale and scale, or no noise, without which a target has no density.
        """
        (lengthscale, other), (scale, another) = self.lengthscale, self.scale
        if lengthscale != other or scale != another or not self.noise or isinstance(support.x, dict):
            raise InputError("what a process says exactly needs one lengthscale, one scale and noise")
        rows = weights(support.y, support.mask)
        seen, y = support.x[rows, 0].double(), support.y[rows].double()
        asked, noise = x[:, 0].double(), self.noise**2

        def covariance(a: Tensor, b: Tensor) -> Tensor:
            return scale**2 * torch.exp(-0.5 * ((a[:, None] - b) / lengthscale).square())

        root = torch.linalg.cholesky(covariance(seen, seen) + noise * torch.eye(len(seen), dtype=torch.float64))
        cross = torch.linalg.solve_triangular(root, covariance(seen, asked), upper=False)  # [seen, n]
        mean = cross.T @ torch.linalg.solve_triangular(root, y, upper=False)  # [n, 1]
        variance = scale**2 + noise - cross.square().sum(0)
        return Predictive(mean[None], variance.sqrt()[None, :, None])


@dataclass(frozen=True, kw_only=True)
class Mixture(Checked):
    """Tasks of several families, each drawn from one of them: `mixture`.

    Noise, inputs, finite sets and raggedness are those of the families; shots and queries must be the same in all.
    """

    families: tuple[Curves, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        sizes = {(family.shots, family.queries) for family in self.families}
        if len(sizes) != 1:
            which = ", ".join(f"{shots} and {queries}" for shots, queries in sorted(sizes)) or "no family at all"
            raise InputError(f"families of a mixture need the same shots and queries, got {which}")

    @property
    def titles(self) -> tuple[str, ...]:
        """What tables call the families."""
        return tuple(family.title for family in self.families)

    def episodes(self, first: int, count: int) -> Episode:
        """Episodes `first .. first + count - 1`, stacked, as those of the families."""
        key, number = draws.keys(self.seed, first, count), self.draw(first, count).numpy()
        rows = [np.flatnonzero(number == i) for i in range(len(self.families))]
        parts = [self._at(family, key[own]) for family, own in zip(self.families, rows, strict=True) if len(own)]
        order = from_numpy(np.argsort(np.concatenate(rows)))
        return tree.map(lambda *leaves: torch.cat(leaves)[order], parts[0], *parts[1:])

    def noiseless(self, queries: int) -> "Mixture":
        """See `Curves.noiseless`."""
        return replace(self, families=tuple(family.noiseless(queries) for family in self.families))

    def draw(self, first: int, count: int) -> Tensor:
        """[count] the family of every episode, by its place in `families`."""
        key = draws.fold(draws.keys(self.seed, first, count), _FAMILY)
        return from_numpy(draws.between(key, 0, len(self.families) - 1))

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        about: dict[str, object] = {"kind": "mixture", "score": "mse", "dataset": "mixture", "seed": self.seed}
        about |= {"shots": self.families[0].shots, "queries": self.families[0].queries}
        return about | {"families": [family.describe() for family in self.families]}

    def _at(self, family: Curves, key: draws.Keys) -> Episode:
        """Episodes of a family; where any family is ragged, all have a mask."""
        support, query = family.at(key)
        if support.mask is None and any(one.fewest_shots is not None for one in self.families):
            support = support._replace(mask=torch.ones(support.y.shape[:2], dtype=torch.bool))
        return Episode(support, query)


def mixture(
    shots: int = 10,
    queries: int = 10,
    seed: int = 0,
    noise: float = 0.3,
    tasks: int | None = None,
    fewest_shots: int | None = None,
) -> Mixture:
    """Sinusoids of several frequencies, lines, quadratics and cubics, a quarter each.

    Args:
        shots: Support points.
        queries: Query points.
        seed: Of the tasks.
        noise: Standard deviation.
        tasks: As in `Curves`, of each of the four.
        fewest_shots: As in `Curves`.
    """
    same: dict[str, Any] = {"shots": shots, "queries": queries, "noise": noise}
    same |= {"tasks": tasks, "fewest_shots": fewest_shots}
    waves = Sinusoid(phase=(0.0, 2 * math.pi), frequency=(0.8, 1.2), **same)
    others = (Polynomial(degree=degree, **same) for degree in (1, 2, 3))
    return Mixture(families=(waves, *others), seed=seed)
