"""Bayesian MAML: Yoon, Kim, Dia, Kim, Bengio, Ahn, NeurIPS 2018, https://arxiv.org/abs/1806.03836.

Adaptation is a few steps of Stein variational gradient descent, which move several learned initialisations together
towards a sample of the task's posterior over weights.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from innerloop.core import objectives, svgd, tree
from innerloop.core.errors import InputError
from innerloop.core.gradient import value_and_grad
from innerloop.core.learner import EpisodicClassifier, Unrolled
from innerloop.core.linalg import dot
from innerloop.core.model import Model
from innerloop.core.predictive import Predictive, mean_of
from innerloop.core.ranges import Count, Natural, Positive
from innerloop.core.searched import INNER_LR, INNER_STEPS
from innerloop.core.sensible import INNER_LOOP, Sensible, by_kind
from innerloop.core.stopped import stop
from innerloop.core.types import Batch, Episode, Metrics, Params, joined


def _curves(rate: float) -> Sensible:
    return Sensible(
        fields={"inner_lr": rate}, task={"shots": 10, "queries": 10}, train={"meta_batch_size": 25, "clip": 10.0}
    )


class Particles(NamedTuple):
    """Adapted particles, with the support's batch-norm statistics of each."""

    weights: Params
    """[particles, ...] of every weight."""
    std: Tensor | None
    """[particles] standard deviation of a target around each one's mean; None: classes."""


@dataclass(frozen=True, kw_only=True)
class BMAML(EpisodicClassifier[Particles], Unrolled[Particles, Params]):
    """Parameters: `model.*`, every weight of all particles, and `log_precision.*`, of the likelihood and the prior.

    Values have a Gaussian likelihood around the network's outputs, classes a categorical one; weights a Gaussian prior
    around 0. A particle has its own precisions, which are no coordinates of it: neither the kernel's distances nor the
    chaser's know them.
    """

    trains_on = ("episodes",)
    targets = ("classes", "values")
    probabilistic = True
    # Rates for five particles: a step of theirs is some 0.4 of a plain one.
    sensible = by_kind(
        classes=Sensible(fields={"inner_lr": 1.2, "transductive": True}, train=INNER_LOOP.train),
        sinusoid=_curves(0.3),
        sinusoids=_curves(0.3),
        curves=_curves(0.1),
    )

    model: Model
    """x -> outputs of a task."""
    particles: Count = 5
    """How many members a posterior has; of one, a step is gradient ascent."""
    inner_lr: float = field(default=0.5, metadata=INNER_LR)
    """Step size on the log posterior, divided by the support's rows. The kernel shrinks a step to some 2 / `particles`
    of a plain one where particles are apart: what is best for one kernel or number is not for another."""
    inner_steps: int = field(default=1, metadata=INNER_STEPS)
    """Steps in training and, unless replaced, in testing."""
    prior_precision: Positive = 1e-3
    """Where the precision of the prior starts. A strong one pulls the initialisations to 0, since the chaser's leader
    follows it too."""
    kernel: Literal["rbf", "none"] = "rbf"
    """none: every particle descends on the objective by itself, without a prior. With `meta_loss="plain"` that is
    EMAML, an ensemble of independent MAMLs."""
    meta_loss: Literal["chaser", "plain"] = "chaser"
    """chaser: the squared distance of every particle to where it would go on to, `leader_steps` further on support and
    query together; what it goes on to is a constant. plain: the mean loss of the particles on the query."""
    leader_steps: Natural = 1
    """Steps that the leader of the chaser is ahead."""

    def __post_init__(self) -> None:
        if self.meta_loss == "chaser" and not self.leader_steps:
            raise InputError(
                "BMAML: leader_steps must be at least 1 for the chaser, whose leader would be where the particles are; "
                "got 0: give more, or meta_loss='plain'"
            )

    @property
    def exact_gradient(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.meta_loss == "plain" and (self.kernel == "none" or self.particles == 1)

    @property
    def queries_apart(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.meta_loss == "plain"

    def init(self, seed: int) -> Params:
        weights = tree.stack([self.model.init(seed * self.particles + i) for i in range(self.particles)])
        # Both, whatever the tasks are: classes have no use for the likelihood's, nor EMAML's members for a prior.
        starts = {"likelihood": 1.0, "prior": self.prior_precision}
        precisions = {name: torch.full((self.particles,), math.log(start)) for name, start in starts.items()}
        return tree.join(model=weights, log_precision=precisions)

    def start(self, params: Params, support: Batch) -> Params:
        return tree.part(params, "model")

    def advance(self, params: Params, carry: Params, support: Batch) -> tuple[Params, Tensor]:
        return self._step(params, carry, support)

    def finish(self, params: Params, carry: Params, support: Batch) -> Particles:
        std = None
        if support.y.is_floating_point():
            std = torch.exp(-0.5 * params["log_precision.likelihood"])
        if not self.transductive:
            x, mask = support.x, support.mask
            carry = torch.vmap(lambda weights: self.model.with_statistics(weights, x, mask))(carry)
        return Particles(carry, std)

    def predict(self, params: Params, adapted: Particles, x: Tensor | dict[str, Tensor]) -> Tensor:
        return mean_of(self.predictive(params, adapted, x))

    def predictive(self, params: Params, adapted: Particles, x: Tensor | dict[str, Tensor]) -> Predictive:
        outputs = torch.vmap(lambda weights: self.model.apply(weights, x))(adapted.weights)  # [particles, n, k]
        std = adapted.std
        return Predictive(outputs, None if std is None else std[:, None, None].expand_as(outputs))

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        support, query = episode
        if self.meta_loss == "plain":
            return self.query_loss(params, self.adapt(params, support), query)
        weights = {k: v for k, v in params.items() if k.startswith("model.")}
        precisions = {k: v for k, v in params.items() if k not in weights}
        followers = self.unroll(weights | stop(precisions), support)
        leaders, both = stop(followers), joined(support, query)
        for _ in range(self.leader_steps):
            leaders, _ = self._step(stop(params), leaders, both, create_graph=False)
        apart = tree.map(Tensor.sub, followers, stop(leaders))
        # A larger precision takes longer steps, which would always be nearer to the leader: precisions learn from the
        # query's likelihood after the same steps instead, with the weights held.
        params = stop(weights) | precisions
        likelihood, metrics = self.query_loss(params, self.adapt(params, support), query)
        return dot(apart, apart) + likelihood, metrics

    def query_loss(self, params: Params, adapted: Particles, query: Batch) -> tuple[Tensor, Metrics]:
        predictive = self.predictive(params, adapted, query.x)
        losses = self._objectives(predictive.outputs, query)  # [particles]
        if adapted.std is not None:  # a Gaussian's negative log-likelihood, mean over the entries of the targets
            losses = 0.5 * losses / adapted.std.square() + adapted.std.log() + 0.5 * math.log(2 * math.pi)
        return losses.mean(), self.logged(mean_of(predictive), query)

    def _step(
        self, params: Params, particles: Params, batch: Batch, create_graph: bool = True
    ) -> tuple[Params, Tensor]:
        """One step of all particles on a batch, and the mean loss that it stepped down from."""
        precision = tree.map(torch.exp, tree.part(params, "log_precision"))
        values, rows = batch.y.is_floating_point(), objectives.weights(batch.y, batch.mask)
        count = rows.sum().clamp_min(1) * (batch.y[0].numel() if values else 1)

        def energy(particles: Params) -> tuple[Tensor, Metrics]:
            outputs = torch.vmap(lambda weights: self.model.apply(weights, batch.x, batch.mask))(particles)
            losses = self._objectives(outputs, batch)
            if self.kernel == "rbf":
                losses = 0.5 * precision["likelihood"] * losses if values else losses
                squares = svgd.flat(particles).square().sum(1)
                losses = losses + 0.5 * precision["prior"] * squares / count
            return losses.sum(), {}  # the gradient of every particle is that of its own

        slopes, value, _ = value_and_grad(energy, particles, create_graph)
        moves = tree.map(Tensor.neg, slopes)
        if self.kernel == "rbf":
            moves = svgd.direction(particles, moves, 1 / count)
        return tree.map(lambda w, v: w + self.inner_lr * v, particles, moves), value / self.particles

    def _objectives(self, outputs: Tensor, batch: Batch) -> Tensor:
        """[particles] of [particles, n, k] outputs."""
        return torch.vmap(lambda each: self.objective(each, batch.y, batch.mask))(outputs)
