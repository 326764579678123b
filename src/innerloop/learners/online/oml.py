"""OML: Javed and White, NeurIPS 2019, https://arxiv.org/abs/1905.12588.

Adaptation is descent of a linear head along a trajectory, one row and one class after another, over features that were
meta-learned so that its steps do not disturb each other.
"""

from dataclasses import dataclass

from torch import Tensor

from innerloop.core import tree
from innerloop.core.online_head import OnlineHead
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.types import Params


@dataclass(frozen=True, kw_only=True)
class OML(OnlineHead):
    """Meta-training differentiates through all steps of the head into the encoder and the head's start.

    On plain episodes the loss is that of held-out rows of the trajectory's classes; `TrajectorySampler` adds rows of
    all other classes, the paper's remember set. There the rows of the head of classes not seen take no steps, which the
    paper's do.
    """

    trains_on = ("episodes", "trajectories")
    sensible = by_kind(
        classes=Sensible(task={"ways": 20, "shots": 5}, train={"meta_batch_size": 1, "meta_lr": 1e-3}),
    )

    def features(self, params: Params, x: Tensor | dict[str, Tensor]) -> Tensor:
        return self.encoder.apply(tree.part(params, "encoder"), x)
