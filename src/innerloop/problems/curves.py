"""Regression of curves from wider families than MAML's sinusoids: with noise, finite sets of tasks, ragged supports."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import pi
from typing import Any, ClassVar, Self

from innerloop.core.errors import InputError
from innerloop.core.sensible import Sensible
from innerloop.core.types import Sampler
from innerloop.nn.mlp import MLP
from innerloop.problems.regression import Family, Regression
from innerloop.tasks import GPCurves, Polynomial, Sinusoid, mixture

_USUAL = Sensible(
    fields={"inner_lr": 0.003}, task={"shots": 10, "queries": 10}, train={"meta_batch_size": 25, "clip": 10.0}
)


def _family(sampler: Callable[..., Sampler]) -> Family:
    return Family(sampler=sampler, model=MLP(hidden=(40, 40)), outputs=1, usual=_USUAL)


_ABOUT = {
    "sinusoids": "Sinusoids of several frequencies: amplitude 0.1 to 5, frequency 0.5 to 2, any phase.",
    "lines": "Lines with uniform coefficients.",
    "quadratics": "Quadratic functions with uniform coefficients.",
    "cubics": "Cubic functions with uniform coefficients.",
    "gp-curves": "Curves of Gaussian processes with an RBF kernel, each with its lengthscale and scale.",
    "rbf-curves": "Curves of one Gaussian process, with an RBF kernel of lengthscale 0.4 and scale 1.",
    "mixture": "Sinusoids, lines, quadratics and cubics, a quarter each.",
}


@dataclass(frozen=True, kw_only=True)
class Curves(Regression):
    """What a task is."""

    in_test = {"queries": 15, "functions": None}  # noqa: RUF012

    families: ClassVar[Mapping[str, Family]] = {
        "sinusoids": _family(partial(Sinusoid, frequency=(0.5, 2.0), phase=(0.0, 2 * pi))),
        "lines": _family(partial(Polynomial, degree=1)),
        "quadratics": _family(partial(Polynomial, degree=2)),
        "cubics": _family(partial(Polynomial, degree=3)),
        "gp-curves": _family(GPCurves),
        "rbf-curves": _family(partial(GPCurves, lengthscale=(0.4, 0.4), scale=(1.0, 1.0))),
        "mixture": _family(mixture),
    }

    data: str = "sinusoids"
    """A family of curves, see `innerloop list`."""
    noise: float = 0.0
    """Standard deviation of what is added to every value."""
    relative_noise: float = 0.0
    """The same as a share of a sinusoid's amplitude."""
    functions: int | None = None
    """So many functions are drawn once, and every meta-training task is new points of one of them, as every one of
    validation is of so many others; tests are of new ones. None: a new one for each task."""
    fewest_shots: int | None = None
    """Ragged tasks: from so many support points to `shots`; None: always `shots`."""

    @classmethod
    def data_sets(cls) -> Mapping[str, str]:
        return _ABOUT

    def check(self) -> None:
        super().check()
        if self.relative_noise and self.data != "sinusoids":
            raise InputError(
                f"{self.data} have no amplitude for --relative-noise to be a share of: take --noise, or "
                "--data sinusoids"
            )
        if self.functions is not None and self.data in ("gp-curves", "rbf-curves"):
            raise InputError(
                "a curve of a Gaussian process is known only where it was drawn: leave out --functions, or take "
                "another family"
            )

    def changed(self, options: Mapping[str, Any]) -> Self:
        """As in the base; tests with fewer shots than a ragged training had at least have that many in every task."""
        shots, fewest = options.get("shots"), self.fewest_shots
        if shots is not None and fewest is not None and shots < fewest:
            options = {"fewest_shots": None, **options}
        return super().changed(options)

    def variations(self) -> dict[str, Any]:
        own = {"relative_noise": self.relative_noise} if self.relative_noise else {}
        return {"noise": self.noise, "tasks": self.functions, "fewest_shots": self.fewest_shots, **own}
