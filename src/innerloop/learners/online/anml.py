"""ANML: Beaulieu et al., ECAI 2020, https://arxiv.org/abs/2002.09571.

Adaptation is descent of a linear head along a trajectory, as in OML, over features that a second network opens and
closes: what is closed is neither used nor learned from.
"""

from dataclasses import dataclass, field

from torch import Tensor

from innerloop.core import tree
from innerloop.core.model import Model
from innerloop.core.networks import Encoder, role
from innerloop.core.online import refuse_batch_norms
from innerloop.core.online_head import OnlineHead
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.types import Params


@dataclass(frozen=True, kw_only=True)
class ANML(OnlineHead):
    """Features are the encoder's times the sigmoid of the gate's; meta-training learns both, and the head's start.

    Online steps change the head alone, as in the paper's meta-tests; in its meta-training they change the encoder too.
    Parameters: those of OML, and `gate.*`.
    """

    trains_on = ("episodes", "trajectories")
    sensible = by_kind(
        classes=Sensible(task={"ways": 20, "shots": 5}, train={"meta_batch_size": 1, "meta_lr": 1e-3}),
    )

    gate: Model = field(metadata=role(Encoder(alone=True)))
    """x -> logits of the gates [n, d]: the neuromodulatory network."""

    def init(self, seed: int) -> Params:
        refuse_batch_norms(self.gate)
        return super().init(seed) | tree.join(gate=self.gate.init(seed + 1))

    def features(self, params: Params, x: Tensor | dict[str, Tensor]) -> Tensor:
        gates = self.gate.apply(tree.part(params, "gate"), x).sigmoid()
        return self.encoder.apply(tree.part(params, "encoder"), x) * gates
