"""Amortised variational inference of a head, after Ravi, Beatson, ICLR 2019: https://openreview.net/forum?id=rkgpy3C5tX.

Adaptation is a few gradient steps on the evidence lower bound of the support: from a learned prior over the weights of
a linear head to a normal distribution.
"""

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.core.gaussian import Gaussian, divergence, key_of, members, noise_of, surprise
from innerloop.core.gaussian_heads import CLASSES, VALUES, GaussianHeads, Heads, spread
from innerloop.core.inner import descend
from innerloop.core.learner import Unrolled
from innerloop.core.model import Model
from innerloop.core.networks import FEATURES, OUTPUTS, Rows, role
from innerloop.core.objectives import mean, membership, regression, weights
from innerloop.core.predictive import mean_of
from innerloop.core.prototypes import ways
from innerloop.core.ranges import NotNegative, Positive
from innerloop.core.sensible import by_kind
from innerloop.core.types import Batch, Metrics, Params


class Fitting(NamedTuple):
    """A head on its way from the prior to the posterior."""

    heads: Heads
    features: Tensor  # [n, d] of the support, computed once


@dataclass(frozen=True, kw_only=True)
class AmortisedVI(GaussianHeads, Unrolled[Heads, Fitting]):
    """The paper's inference for the head alone, over features that only meta-training changes.

    Features are taken from their mean over the support, and steps are in deviations of the prior: far from 0, all that
    classes have in common would be noise at first. The bound is that of the whole support, its divergence counted once,
    for each row; of classes it is multiplied by their number, so that a step is as long for five ways as for twenty.
    The expected likelihood of values is exact, that of classes is over `samples` draws. The loss is the bound of the
    query, with one divergence a task as well, shared among its rows.

    The prior is one for all classes, with mean 0, so that any number of them has an answer; targets have a mean each.
    Its deviations are those of a weight and of a bias. The paper has a prior, and a hyper-prior, for every weight.

    Parameters: `encoder.*`, `prior.*` (the mean, where there are targets), `log_std.*` of the prior, `log_lr.*` of the
    steps, and `log_noise`, which classes do not use.
    """

    trains_on = ("episodes",)
    sensible = by_kind(classes=replace(CLASSES, fields={"kl_weight": 0.1}), regression=VALUES)
    queries_apart = False  # the divergence is shared among the rows

    prior: Model | None = field(default=None, metadata=role(Rows(FEATURES, OUTPUTS, when={"objective": regression})))
    """Values: features [n, d] -> [n, k], a linear layer whose weights are the mean of the prior."""
    inner_lr: Positive = 0.5
    """Step size on the bound at first, for means and for the logarithms of deviations; both are learned."""
    inner_steps: int = 10
    std: Positive = 1.0
    """Standard deviation of the prior at first, of weights and of biases."""
    kl_weight: NotNegative = 1.0
    """What the divergence counts in the loss; 1: the bound. Steps go down on the bound itself."""

    def __post_init__(self) -> None:
        if self.objective is regression and self.prior is None:
            raise InputError("AmortisedVI of values needs prior, a linear layer from the features to the targets")

    def init(self, seed: int) -> Params:
        logs = {name: torch.tensor(math.log(self.std)) for name in ("weight", "bias")}
        rates = {name: torch.tensor(math.log(self.inner_lr)) for name in ("mean", "log_std")}
        params = tree.join(encoder=self.encoder.init(seed), log_std=logs, log_lr=rates)
        prior = {} if self.prior is None else tree.join(prior=self.prior.init(seed))
        return params | prior | {"log_noise": torch.tensor(math.log(self.noise))}

    def start(self, params: Params, support: Batch) -> Fitting:
        features, encoder = self.features(tree.part(params, "encoder"), support)
        p = self._prior(params, support.y.is_floating_point())
        if support.y.is_floating_point():
            present = torch.ones(support.y.shape[1], dtype=torch.bool, device=support.y.device)
        else:
            present = membership(support.y, ways(support), support.mask).sum(0) > 0
        shapes = {"weight": (len(present), features.shape[1]), "bias": (len(present),)}
        q = Gaussian(*({name: part[name].expand(shape) for name, shape in shapes.items()} for part in p))
        counted = weights(support.y, support.mask).to(features.dtype)
        centre = counted @ features / counted.sum().clamp_min(1)
        draws = self.draws(key_of(support), q)
        return Fitting(Heads(q, centre, draws, present, noise_of(params, support), encoder), features)

    def advance(self, params: Params, carry: Fitting, support: Batch) -> tuple[Fitting, Tensor]:
        rates, heads = tree.map(torch.exp, tree.part(params, "log_lr")), carry.heads
        unit = self._prior(params, bool(heads.noise)).log_std
        scale = 1 if heads.noise else heads.present.sum()

        def head(moved: Params) -> Gaussian:
            """The head after a change of its means, in the prior's deviations, and of the logarithms of its own."""
            mean, log_std = tree.part(moved, "mean"), tree.part(moved, "log_std")
            return Gaussian(
                {name: w + unit[name].exp() * mean[name] for name, w in heads.head.mean.items()},
                {name: w + log_std[name] for name, w in heads.head.log_std.items()},
            )

        def bound(moved: Params) -> tuple[Tensor, Metrics]:
            return scale * self._bound(params, heads._replace(head=head(moved)), carry.features, support), {}

        still = tree.map(torch.zeros_like, tree.join(mean=heads.head.mean, log_std=heads.head.log_std))
        moved, value = descend(still, bound, {name: rates[name.partition(".")[0]] for name in still})
        return carry._replace(heads=heads._replace(head=head(moved))), value / scale

    def finish(self, params: Params, carry: Fitting, support: Batch) -> Heads:
        key = random.fold(key_of(support), 1)  # other draws than those that the head was fitted with
        return carry.heads._replace(draws=self.draws(key, carry.heads.head))

    def query_loss(self, params: Params, adapted: Heads, query: Batch) -> tuple[Tensor, Metrics]:
        features = self.encoder.apply(adapted.encoder, query.x)
        logged = self.logged(mean_of(members(self.outputs(adapted, features), adapted.noise)), query)
        return self._bound(params, adapted, features, query, self.kl_weight), logged

    def _bound(self, params: Params, heads: Heads, features: Tensor, batch: Batch, kl_weight: float = 1.0) -> Tensor:
        """The negative evidence lower bound of a batch, for each of its rows."""
        rows = weights(batch.y, batch.mask)
        if heads.noise:
            means, variances = spread(heads, features)
            spreading = 0.5 * (variances * (-2 * heads.noise["log_noise"]).exp()).sum(-1)
            missed = mean(surprise(means, heads.noise, batch.y) + spreading, rows)
        else:
            outputs = self.outputs(heads, features)
            mask = None if batch.mask is None else batch.mask.repeat(self.samples)
            missed = self.objective(outputs.flatten(0, 1), batch.y.repeat(self.samples), mask)
        kl = divergence(heads.head, self._prior(params, bool(heads.noise)))
        return missed + kl_weight * kl / rows.sum().clamp_min(1)

    def _prior(self, params: Params, values: bool) -> Gaussian:
        """p, of shapes that broadcast to a head's."""
        log_std = tree.part(params, "log_std")
        if not values:
            return Gaussian(tree.map(torch.zeros_like, log_std), log_std)
        if self.prior is None:
            raise InputError("AmortisedVI was built for classes: give it objective=regression and the network prior")
        return Gaussian(tree.part(params, "prior"), log_std)
