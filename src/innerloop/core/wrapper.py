"""Learners that hold learners."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

from torch import Tensor

from innerloop.core.learner import Adapted, Learner
from innerloop.core.predictive import Predictive
from innerloop.core.types import Batch, Episode, Metrics, Params


def _trait(name: str) -> Any:
    """What the inner learner declares of itself holds for the one around it."""
    return property(lambda self: getattr(self.learner, name))


@dataclass(frozen=True, kw_only=True)
class Wrapper(Learner[Adapted]):
    """A learner around another one. As it stands it is the identity; subclasses override what they are about.

    The inner learner's parameters keep their names. `transductive` is the wrapper's, and holds for both.
    """

    learner: Learner[Adapted]
    """What is wrapped."""

    targets = _trait("targets")
    exact_gradient = _trait("exact_gradient")
    incremental = _trait("incremental")
    weighs = _trait("weighs")
    probabilistic = _trait("probabilistic")
    gives_probabilities = _trait("gives_probabilities")
    stochastic = _trait("stochastic")
    ordered = _trait("ordered")
    uses_unlabelled = _trait("uses_unlabelled")
    low_precision = _trait("low_precision")

    @property
    def inner(self) -> Learner[Adapted]:
        """The inner learner, as transductive as this one."""
        return replace(self.learner, transductive=self.transductive)

    def init(self, seed: int) -> Params:
        return self.inner.init(seed)

    def adapt(self, params: Params, support: Batch) -> Adapted:
        return self.inner.adapt(params, support)

    def predict(self, params: Params, adapted: Adapted, x: Tensor | dict[str, Tensor]) -> Tensor:
        return self.inner.predict(params, adapted, x)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        return self.inner.loss(params, episode)

    def reference_gradient(self, params: Params, episode: Episode) -> Params | None:
        return self.inner.reference_gradient(params, episode)

    def complete(self, params: Params, tasks: Iterable[Episode]) -> Params:
        return self.inner.complete(params, tasks)

    def annealed(self, progress: float) -> Self:
        return replace(self, learner=self.learner.annealed(progress))

    def update(self, params: Params, adapted: Adapted, more: Batch) -> Adapted:
        return self.inner.update(params, adapted, more)

    def predictive(self, params: Params, adapted: Adapted, x: Tensor | dict[str, Tensor]) -> Predictive:
        return self.inner.predictive(params, adapted, x)
