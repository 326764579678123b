"""Elastic weight consolidation: Kirkpatrick et al., PNAS 2017, arXiv 1612.00796, on a stream.

Adaptation is descent on every batch, with a spring at every weight that pulls it to where it was when earlier tasks
ended, as strongly as they depend on it (https://arxiv.org/abs/1612.00796; one sum of springs as of Schwarz et al.,
Progress and compress, ICML 2018, https://arxiv.org/abs/1805.06370).
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import objectives, tree
from innerloop.core.gradient import grad, value_and_grad
from innerloop.core.online import counted, no_counts
from innerloop.core.online_weights import OnlineWeights
from innerloop.core.ranges import Decay, NotNegative, Share
from innerloop.core.searched import INNER_LR
from innerloop.core.types import Batch, Params


class Anchored(NamedTuple):
    """The network as it is now, and its springs."""

    weights: Params
    counts: Tensor  # [ways] rows of each class that were seen; [0] for values
    fisher: Params
    """Decayed mean of the squared gradients of single rows."""
    total: Tensor  # [] how much of that mean is of rows: from 0 to 1
    importance: Params
    """Strength of the springs, without `strength`."""
    anchor: Params
    """Where they pull to."""


@dataclass(frozen=True, kw_only=True)
class EWC(OnlineWeights[Anchored]):
    """Parameters are the network's.

    The diagonal of the Fisher information is the mean of squared gradients, each of one row with its own label, never
    the square of their mean. It is gathered as rows arrive, for a stream is seen once. The springs are taken at the end
    of the step, `w = (w - lr g + lr s a) / (1 + lr s)` with s their strength: explicit ones diverge where lr s > 2.
    """

    trains_on = ("episodes",)

    inner_lr: float = field(default=0.1, metadata=INNER_LR)
    """Step size on the mean loss of a batch."""
    strength: NotNegative = 100.0
    """The paper's lambda."""
    fisher_decay: Decay = 0.95
    """How much of the mean of squared gradients stays when a batch arrives."""
    online: bool = False
    """Without ends of tasks: after every batch, importance is that mean, and anchors follow the weights. Else both are
    taken where a stream tells that a task ended, and without such an end this is plain fine-tuning."""
    anchor_decay: Decay = 0.99
    """`online`: how much of an anchor stays when a batch arrives."""
    kept: Share = 1.0
    """How much of earlier importance stays when a task ends; 1: tasks add up."""

    @property
    def needs_boundaries(self) -> bool:
        return not self.online

    def begin(self, params: Params, like: Batch) -> Anchored:
        none = tree.map(torch.zeros_like, params)
        counts = no_counts(self.model, params, like)
        return Anchored(params, counts, none, next(iter(params.values())).new_zeros(()), none, params)

    def step(self, params: Params, state: Anchored, batch: Batch) -> Anchored:
        slope, _, _ = value_and_grad(self.loss_on(batch), state.weights)
        lr = self.inner_lr

        def moved(w: Tensor, g: Tensor, importance: Tensor, anchor: Tensor) -> Tensor:
            spring = lr * self.strength * importance
            return (w - lr * g + spring * anchor) / (1 + spring)

        weights = tree.map(moved, state.weights, slope, state.importance, state.anchor)
        new = self.squares(state.weights, batch)
        fisher = tree.map(lambda old, s: self.fisher_decay * old + (1 - self.fisher_decay) * s, state.fisher, new)
        total = self.fisher_decay * state.total + (1 - self.fisher_decay)
        state = state._replace(weights=weights, counts=counted(state.counts, batch), fisher=fisher, total=total)
        if not self.online:
            return state
        anchor = tree.map(lambda a, w: self.anchor_decay * a + (1 - self.anchor_decay) * w, state.anchor, weights)
        return state._replace(importance=tree.map(lambda f: f / total, fisher), anchor=anchor)

    def boundary(self, params: Params, state: Anchored) -> Anchored:
        if self.online:
            return state
        total = torch.where(state.total > 0, state.total, 1)
        importance = tree.map(lambda old, f: self.kept * old + f / total, state.importance, state.fisher)
        none = tree.map(torch.zeros_like, (state.fisher, state.total))
        return state._replace(fisher=none[0], total=none[1], importance=importance, anchor=state.weights)

    def squares(self, weights: Params, batch: Batch) -> Params:
        """Mean over the rows of a batch that count of the squared gradient of each alone."""
        real = objectives.weights(batch.y, batch.mask)

        def of_row(x: Tensor | dict[str, Tensor], y: Tensor) -> Params:
            row = Batch(tree.map(lambda leaf: leaf[None], x), y[None])
            return grad(lambda w: self.loss_on(row)(w)[0], weights)

        slopes = torch.vmap(of_row)(batch.x, batch.y)
        share = real / real.sum().clamp_min(1)
        return tree.map(lambda g: torch.tensordot(share.to(g.dtype), g.square(), 1), slopes)
