"""Meta-SGD: Li, Zhou, Chen, Li 2017, https://arxiv.org/abs/1707.09835.

Adaptation is one step of gradient descent whose initialisation, direction and length are all learned: one signed rate a
parameter, free to become negative.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.inner import FastWeights, descend
from innerloop.core.searched import INNER_LR
from innerloop.core.types import Batch, Params


@dataclass(frozen=True, kw_only=True)
class MetaSGD(FastWeights[Params]):
    """Parameters: `model.*` and, of the same shapes, `inner_lr.*` (the paper's alpha)."""

    trains_on = ("episodes",)

    inner_lr: float = field(default=0.5, metadata=INNER_LR)
    """Where every rate starts. The paper draws them from U[0.005, 0.1], for a loss summed over classes."""

    def init(self, seed: int) -> Params:
        weights = self.model.init(seed)
        return tree.join(model=weights, inner_lr=tree.map(lambda w: torch.full_like(w, self.inner_lr), weights))

    def start(self, params: Params, support: Batch) -> Params:
        return tree.part(params, "model")

    def advance(self, params: Params, carry: Params, support: Batch) -> tuple[Params, Tensor]:
        return descend(carry, self.support_loss(support), tree.part(params, "inner_lr"))

    def finish(self, params: Params, carry: Params, support: Batch) -> Params:
        return self.with_statistics(carry, support)
