"""MAML for agents: Finn, Abbeel, Levine, ICML 2017, section 5.3, https://arxiv.org/abs/1703.03400.

Adaptation is a few policy gradients (Williams 1992) on episodes that the policy takes itself, from a learned start.
"""

from dataclasses import dataclass

from torch import Tensor

from innerloop.core.agent import PolicyGradient
from innerloop.core.model import Model
from innerloop.core.types import Params


@dataclass(frozen=True, kw_only=True)
class MAMLRL(PolicyGradient):
    """All weights of the policy adapt."""

    trains_on = ("environments",)

    model: Model
    """[n, observations] -> outputs of the policy, as `core.actions.Actions` reads them."""

    def weights(self, seed: int) -> Params:
        return self.model.init(seed)

    def outputs(self, weights: Params, observations: Tensor) -> Tensor:
        return self.model.apply(weights, observations)
