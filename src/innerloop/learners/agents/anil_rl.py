"""ANIL for agents: Raghu, Raghu, Bengio, Vinyals, ICLR 2020, section 4.2, https://arxiv.org/abs/1909.09157.

Adaptation is a few policy gradients on the policy's head alone, over features that only meta-training changes.
"""

from dataclasses import dataclass, field

from torch import Tensor

from innerloop.core import tree
from innerloop.core.agent import PolicyGradient
from innerloop.core.model import Model
from innerloop.core.networks import FEATURES, OUTPUTS, Rows, role
from innerloop.core.types import Params


@dataclass(frozen=True, kw_only=True)
class ANILRL(PolicyGradient):
    """Parameters: `encoder.*`, which inner steps leave alone, and `head.*`, which they adapt."""

    trains_on = ("environments",)
    adapts = "head."

    encoder: Model
    """[n, observations] -> features."""
    head: Model = field(metadata=role(Rows(FEATURES, OUTPUTS)))
    """[n, features] -> outputs of the policy, as `core.actions.Actions` reads them."""

    def weights(self, seed: int) -> Params:
        return tree.join(encoder=self.encoder.init(seed), head=self.head.init(seed))

    def outputs(self, weights: Params, observations: Tensor) -> Tensor:
        features = self.encoder.apply(tree.part(weights, "encoder"), observations)
        return self.head.apply(tree.part(weights, "head"), features)
