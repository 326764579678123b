"""Implicit MAML: Rajeswaran, Finn, Kakade, Levine, NeurIPS 2019, https://arxiv.org/abs/1909.04630.

Adaptation minimises the support loss plus a pull `decay / 2 |w - params|^2` towards the initialisation; the
meta-gradient depends on where it ended, not on the path, so memory does not grow with the steps.
"""

from dataclasses import dataclass, field

from torch import Tensor

from innerloop.core import tree
from innerloop.core.gradient import grad, value_and_grad
from innerloop.core.inner import FastWeights, descend
from innerloop.core.linalg import conjugate_gradient, dot
from innerloop.core.ranges import Natural, Positive
from innerloop.core.searched import INNER_LR, between
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.stopped import stop
from innerloop.core.types import Batch, Episode, Metrics, Params


@dataclass(frozen=True, kw_only=True)
class IMAML(FastWeights[Params]):
    """Equation 6: the meta-gradient is `(I + H / decay)^-1 g`, solved by conjugate gradients.

    H is the support's Hessian and g the query's gradient, both at the adapted weights. Where H makes the matrix
    indefinite, the search stops at the last point of positive curvature. Exact only at the inner problem's minimum.
    """

    trains_on = ("episodes",)
    sensible = by_kind(
        classes=Sensible(
            # The paper's pull of 2 with 16 steps of 0.5 overshoots on Conv-4 and learns nothing in 100 meta-steps.
            fields={"decay": 0.5, "inner_steps": 5, "transductive": True},
            train={"meta_batch_size": 8, "meta_lr": 5e-3},
        ),
    )

    exact_gradient = False

    inner_lr: float = field(default=0.5, metadata=INNER_LR)
    """Step size on the regularised mean support loss."""
    inner_steps: int = field(default=16, metadata=between(4, 32))
    decay: Positive = field(default=2.0, metadata=between(0.1, 10.0, log=True))
    """Strength of the pull (the paper's lambda)."""
    cg_steps: Natural = 5
    """Iterations of conjugate gradients."""

    def start(self, params: Params, support: Batch) -> Params:
        return stop(params)

    def advance(self, params: Params, carry: Params, support: Batch) -> tuple[Params, Tensor]:
        anchor, loss = stop(params), self.support_loss(support)

        def pulled(weights: Params) -> tuple[Tensor, Metrics]:
            offset = tree.map(Tensor.sub, weights, anchor)
            return loss(weights)[0] + 0.5 * self.decay * dot(offset, offset), {}

        return descend(carry, pulled, self.inner_lr, first_order=True)

    def finish(self, params: Params, carry: Params, support: Batch) -> Params:
        return self.with_statistics(carry, support)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        support, query = episode
        weights = stop(self.unroll(params, support))

        def query_loss(weights: Params) -> tuple[Tensor, Metrics]:
            outputs = self.predict(params, self.with_statistics(weights, support), query.x)
            return self.objective(outputs, query.y, query.mask), self.logged(outputs, query)

        gradient, value, metrics = value_and_grad(query_loss, weights, create_graph=False)
        support_loss = self.support_loss(support)

        def matvec(v: Params) -> Params:
            slope = grad(lambda w: dot(grad(lambda u: support_loss(u)[0], w), v), weights, create_graph=False)
            return tree.map(lambda v, hv: v + hv / self.decay, v, slope)

        gradient = stop(conjugate_gradient(matvec, gradient, self.cg_steps))
        # Straight through: the value of the query loss, the implicit gradient.
        through = tree.map(Tensor.sub, params, stop(params))
        return value + dot(through, gradient), metrics
