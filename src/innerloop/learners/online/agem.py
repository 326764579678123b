"""A-GEM: Chaudhry, Ranzato, Rohrbach, Elhoseiny, Efficient lifelong learning with A-GEM, ICLR 2019, arXiv 1812.00420.

Adaptation is descent on every batch, where the gradient would raise the loss on what is remembered without the part of
it that does (https://arxiv.org/abs/1812.00420, equation 11).
"""

from dataclasses import dataclass

import torch

from innerloop.core import reservoir, tree
from innerloop.core.gradient import value_and_grad
from innerloop.core.linalg import dot
from innerloop.core.online_memory import OnlineMemory, Remembered
from innerloop.core.ranges import Count
from innerloop.core.types import Batch, Params


@dataclass(frozen=True, kw_only=True)
class AGEM(OnlineMemory):
    """Parameters are the network's. The memory is one reservoir of all that came, whatever task it is of."""

    trains_on = ("episodes",)

    reference: Count = 100
    """Rows of the memory, drawn for every batch, whose loss may not rise."""

    def moved(self, state: Remembered, batch: Batch) -> Params:
        remembered = reservoir.draw(state.memory, batch, self.reference)
        slope, _, _ = value_and_grad(self.loss_on(batch), state.weights)
        reference, _, _ = value_and_grad(self.loss_on(remembered), state.weights)
        return tree.map(lambda w, g: w - self.inner_lr * g, state.weights, projected(slope, reference))


def projected(slope: Params, reference: Params) -> Params:
    """The gradient nearest to `slope` whose inner product with `reference` is not negative."""
    along, length = dot(slope, reference), dot(reference, reference)
    # Nothing remembered: both are 0.
    excess = torch.where(along < 0, along / torch.where(length > 0, length, 1), 0)
    return tree.map(lambda g, r: g - excess * r, slope, reference)
