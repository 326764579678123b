"""PLATIPUS, probabilistic MAML: Finn, Xu, Levine, NeurIPS 2018, https://arxiv.org/abs/1806.02817.

Adaptation draws initialisations from a learned normal distribution that one gradient step on the support has moved, and
takes a few steps of gradient descent from each.
"""

import functools
import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import recompute, tree
from innerloop.core.gaussian import (
    Gaussian,
    divergence,
    draw,
    key_of,
    members,
    mixture_loss,
    noise_of,
)
from innerloop.core.gradient import grad
from innerloop.core.inner import descend
from innerloop.core.learner import EpisodicClassifier, Unrolled
from innerloop.core.model import Model
from innerloop.core.objectives import weights
from innerloop.core.predictive import Predictive, mean_of
from innerloop.core.ranges import Count, NotNegative, Positive
from innerloop.core.searched import INNER_LR, INNER_STEPS
from innerloop.core.sensible import INNER_LOOP, by_kind
from innerloop.core.types import Batch, Episode, Metrics, Params


class Samples(NamedTuple):
    """Adapted weights of every member."""

    weights: Params  # [members, ...] each
    noise: Params
    """`log_noise` of values; empty for classes."""


@dataclass(frozen=True, kw_only=True)
class PLATIPUS(EpisodicClassifier[Samples], Unrolled[Samples, Params]):
    """Algorithms 1 and 2 of the paper, with one draw for a task in training.

    The distribution of initialisations given a support is the prior p, `N(mean - prior_lr * slope, std^2)` with the
    slope of the support's loss. In training they come from q instead, which is moved by the slope of the *query*'s loss
    and has deviations of its own. The loss is that of the query after the inner steps, and the divergence of q from p,
    shared among the query's rows. What `adapt` returns has seen no query.

    Values have Gaussian noise with a learned deviation, so that their loss is a likelihood too; inner steps descend on
    the objective. Parameters: `mean.*`, `log_std.*` (the paper's sigma), `log_q_std.*` (v_q), `log_prior_lr` and
    `log_q_lr` (gamma), and `log_noise`, for which classes have no use.
    """

    trains_on = ("episodes",)
    targets = ("classes", "values")
    # At a weight of 1 the price of thousands of weights keeps classes from being learned at all.
    sensible = by_kind(classes=replace(INNER_LOOP, fields={**INNER_LOOP.fields, "kl_weight": 0.01}))

    stochastic = True
    probabilistic = True
    queries_apart = False  # all rows of the query move q

    model: Model
    """x -> outputs of a task."""
    inner_lr: Positive = field(default=0.4, metadata=INNER_LR)
    """Step size on the mean support loss, and of the steps that move p and q at first; these two are learned."""
    inner_steps: int = field(default=1, metadata=INNER_STEPS)
    """Steps in training and, unless replaced, in testing."""
    members: Count = 10
    """Initialisations that `adapt` draws."""
    std: Positive = 0.1
    """Standard deviation of p and q at first, of every weight."""
    noise: Positive = 1.0
    """Standard deviation of targets at first; learned."""
    kl_weight: NotNegative = 1.0
    """What the divergence counts; 1: the evidence lower bound of the query."""

    def init(self, seed: int) -> Params:
        initial = self.model.init(seed)
        spread = tree.map(lambda w: torch.full_like(w, math.log(self.std)), initial)
        rate = torch.tensor(math.log(self.inner_lr))
        params = tree.join(mean=initial, log_std=spread, log_q_std=tree.map(torch.clone, spread))
        return (
            params
            | {"log_prior_lr": rate, "log_q_lr": rate.clone()}
            | {"log_noise": torch.tensor(math.log(self.noise))}
        )

    def start(self, params: Params, support: Batch) -> Params:
        return draw(self._prior(params, support), key_of(support), self.members)

    def advance(self, params: Params, carry: Params, support: Batch) -> tuple[Params, Tensor]:
        # The gradient of the sum is that of every member: no transform within a gradient is needed.
        carry, value = descend(carry, lambda w: (self._each(support, w).sum(), {}), self.inner_lr)
        return carry, value / len(next(iter(carry.values())))

    def finish(self, params: Params, carry: Params, support: Batch) -> Samples:
        seen = torch.vmap(lambda w: self._with_statistics(w, support))(carry)
        return Samples(seen, noise_of(params, support))

    def predict(self, params: Params, adapted: Samples, x: Tensor | dict[str, Tensor]) -> Tensor:
        return mean_of(self.predictive(params, adapted, x))

    def predictive(self, params: Params, adapted: Samples, x: Tensor | dict[str, Tensor]) -> Predictive:
        return members(self._outputs(adapted, x), adapted.noise)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        support, query = episode
        q = self._moved(params, query, "log_q_std", "log_q_lr")
        initial = tree.slice(draw(q, key_of(support), 1), 0)

        def missed(w: Params) -> tuple[Tensor, Metrics]:
            return self._missed(support, w), {}

        step = recompute.each(lambda w: descend(w, missed, self.inner_lr)[0], self.inner_steps, len(support.y))
        fast = functools.reduce(lambda w, descended: descended(w), step, initial)
        outputs = self.model.apply(self._with_statistics(fast, support), query.x)
        noise = noise_of(params, support)
        if noise:
            error = mixture_loss(outputs[None], noise, query.y, query.mask)
        else:
            error = self.objective(outputs, query.y, query.mask)
        rows = weights(query.y, query.mask).sum().clamp_min(1)
        kl = divergence(q, self._prior(params, support))
        return error + self.kl_weight * kl / rows, self.logged(outputs, query) | {"kl": kl.detach()}

    def _prior(self, params: Params, support: Batch) -> Gaussian:
        """p, which has seen the support."""
        return self._moved(params, support, "log_std", "log_prior_lr")

    def _moved(self, params: Params, batch: Batch, log_std: str, log_lr: str) -> Gaussian:
        """The mean initialisation after one step on a batch, with these deviations."""
        mean, rate = tree.part(params, "mean"), params[log_lr].exp()
        slope = grad(lambda w: self._missed(batch, w), mean)
        return Gaussian(tree.map(lambda w, g: w - rate * g, mean, slope), tree.part(params, log_std))

    def _missed(self, batch: Batch, weights: Params) -> Tensor:
        return self.objective(self.model.apply(weights, batch.x, batch.mask), batch.y, batch.mask)

    def _with_statistics(self, weights: Params, support: Batch) -> Params:
        return weights if self.transductive else self.model.with_statistics(weights, support.x, support.mask)

    def _each(self, batch: Batch, weights: Params) -> Tensor:
        """[members] the objective of stacked weights."""
        return torch.vmap(lambda w: self._missed(batch, w))(weights)

    def _outputs(self, adapted: Samples, x: Tensor | dict[str, Tensor]) -> Tensor:
        """[members, n, k]."""
        return torch.vmap(lambda w: self.model.apply(w, x))(adapted.weights)
