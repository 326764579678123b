"""La-MAML: Gupta, Yadav, Paull, Look-ahead meta learning for continual learning, NeurIPS 2020, arXiv 2007.13904.

Adaptation looks ahead: fast weights take the rows of a batch one by one, and what that does to the batch and to a draw
of the memory moves the rate of every weight first, then the weight by its new rate (https://arxiv.org/abs/2007.13904,
algorithm 1). Rates shrink where tasks disagree.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import objectives, reservoir, tree
from innerloop.core.gradient import grad
from innerloop.core.linalg import dot
from innerloop.core.online import counted, no_counts, row
from innerloop.core.online_weights import OnlineWeights
from innerloop.core.ranges import Count, Positive
from innerloop.core.reservoir import Reservoir
from innerloop.core.searched import INNER_LR
from innerloop.core.types import Batch, Params, joined


class LookingAhead(NamedTuple):
    """The network and its rates as they are now, and a sample of what it saw."""

    weights: Params
    rates: Params
    """One for every entry of every weight; negative ones count as 0."""
    counts: Tensor  # [ways] rows of each class that were seen; [0] for values
    memory: Reservoir


@dataclass(frozen=True, kw_only=True)
class LaMAML(OnlineWeights[LookingAhead]):
    """Parameters: `model.*`, and where their rates start, `rates.*`.

    It is of first order, as the authors ran it: slopes of the fast weights are constants to what moves the rates. The
    memory is of all that came; clipping clips; rows of a batch are taken in their order, which a stream has drawn.
    """

    trains_on = ("episodes",)
    stochastic = True

    inner_lr: float = field(default=0.15, metadata=INNER_LR)
    """Where every rate starts."""
    rate_lr: float = 0.3
    """Step size of the rates."""
    memory: Count = 200
    """Rows that are kept."""
    glances: Count = 1
    """How often a batch is looked at, each time beside another draw."""
    inner_clip: Positive = 2.0
    """Bound of each entry of a slope of fast weights, and of the length of what moves rates and weights."""
    sync: bool = False
    """Weights move by `weight_lr` instead of their new rates, the paper's Sync."""
    weight_lr: float = 0.1
    """Step size of the weights under `sync`."""

    def init(self, seed: int) -> Params:
        weights = self.model.init(seed)
        return tree.join(model=weights, rates=tree.map(lambda w: torch.full_like(w, self.inner_lr), weights))

    def begin(self, params: Params, like: Batch) -> LookingAhead:
        weights, rates = tree.part(params, "model"), tree.part(params, "rates")
        counts = no_counts(self.model, weights, like)
        return LookingAhead(weights, rates, counts, reservoir.empty(like, self.memory))

    def step(self, params: Params, state: LookingAhead, batch: Batch) -> LookingAhead:
        weights, rates = state.weights, state.rates
        for glance in range(self.glances):
            beside = reservoir.draw(state.memory, batch, number=glance)
            of_weights, of_rates = self.meta_gradient(weights, rates, batch, joined(batch, beside))
            rates = tree.map(lambda a, g: a - self.rate_lr * g, rates, self._clipped(of_rates))
            speeds = tree.map(lambda a: self.weight_lr if self.sync else torch.relu(a), rates)
            weights = tree.map(lambda w, g, a: w - a * g, weights, self._clipped(of_weights), speeds)
        return LookingAhead(weights, rates, counted(state.counts, batch), reservoir.add(state.memory, batch))

    def meta_gradient(self, weights: Params, rates: Params, batch: Batch, judged: Batch) -> tuple[Params, Params]:
        """Slopes in weights and in rates of the loss on `judged`, averaged over the fast weights after every row."""
        speeds = tree.map(torch.relu, rates)
        fast, way = weights, tree.map(torch.zeros_like, weights)
        on_the_way: list[tuple[Params, Params]] = []
        for i in range(len(batch.y)):
            slope = grad(lambda w, i=i: self.loss_on(row(batch, i))(w)[0], fast)
            slope = tree.map(lambda g: g.clamp(-self.inner_clip, self.inner_clip), slope)
            fast = tree.map(lambda w, g, a: w - a * g, fast, slope, speeds)
            way = tree.map(torch.add, way, slope)
            on_the_way.append((fast, way))
        path, ways = tree.stack(on_the_way)  # [n, ...] each
        slopes = torch.vmap(lambda w: grad(lambda v: self.loss_on(judged)(v)[0], w))(path)
        real = objectives.weights(batch.y, batch.mask)
        share = real / real.sum().clamp_min(1)

        def mean(values: Tensor) -> Tensor:
            return torch.tensordot(share.to(values.dtype), values, 1)

        of_rates = tree.map(lambda g, s, a: -mean(g * s) * (a > 0), slopes, ways, rates)
        return tree.map(mean, slopes), of_rates

    def _clipped(self, slope: Params) -> Params:
        """The slope, shortened to `inner_clip` where it is longer; at 0 it has a derivative."""
        length = (dot(slope, slope) + 1e-12).sqrt()
        return tree.map(lambda g: g * (self.inner_clip / length.clamp_min(self.inner_clip)), slope)
