"""A-GEM: Chaudhry, Ranzato, Rohrbach, Elhoseiny, Efficient lifelong learning with A-GEM, ICLR 2019, arXiv 1812.00420.

Adaptation is descent on every batch, where the gradient would raise the loss on what is remembered without the part of
it that does (https://arxiv.org/abs/1812.00420, equation 11).
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import reservoir, tree
from innerloop.core.gradient import value_and_grad
from innerloop.core.linalg import dot
from innerloop.core.online import counted, no_counts
from innerloop.core.online_weights import OnlineWeights
from innerloop.core.ranges import Count
from innerloop.core.reservoir import Reservoir
from innerloop.core.searched import INNER_LR
from innerloop.core.types import Batch, Params


class Guarded(NamedTuple):
    """The network as it is now, and a sample of what it saw."""

    weights: Params
    counts: Tensor  # [ways] rows of each class that were seen; [0] for values
    memory: Reservoir


@dataclass(frozen=True, kw_only=True)
class AGEM(OnlineWeights[Guarded]):
    """Parameters are the network's. The memory is one reservoir of all that came, whatever task it is of."""

    trains_on = ("episodes",)
    stochastic = True

    inner_lr: float = field(default=0.1, metadata=INNER_LR)
    """Step size on the mean loss of a batch."""
    memory: Count = 200
    """Rows that are kept."""
    reference: Count = 100
    """Rows of the memory, drawn for every batch, whose loss may not rise."""

    def begin(self, params: Params, like: Batch) -> Guarded:
        return Guarded(params, no_counts(self.model, params, like), reservoir.empty(like, self.memory))

    def step(self, params: Params, state: Guarded, batch: Batch) -> Guarded:
        remembered = reservoir.draw(state.memory, batch, self.reference)
        slope, _, _ = value_and_grad(self.loss_on(batch), state.weights)
        reference, _, _ = value_and_grad(self.loss_on(remembered), state.weights)
        slope = projected(slope, reference)
        weights = tree.map(lambda w, g: w - self.inner_lr * g, state.weights, slope)
        return Guarded(weights, counted(state.counts, batch), reservoir.add(state.memory, batch))


def projected(slope: Params, reference: Params) -> Params:
    """The gradient nearest to `slope` whose inner product with `reference` is not negative."""
    along, length = dot(slope, reference), dot(reference, reference)
    # Nothing remembered: both are 0.
    excess = torch.where(along < 0, along / torch.where(length > 0, length, 1), 0)
    return tree.map(lambda g, r: g - excess * r, slope, reference)
