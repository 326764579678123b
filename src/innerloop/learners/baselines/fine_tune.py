"""Pre-train, then fine-tune a linear head: the Baseline of Chen et al., ICLR 2019, https://arxiv.org/abs/1904.04232.

Adaptation is gradient descent on a new linear head over frozen features of an ordinarily trained classifier.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from innerloop.core import tree
from innerloop.core.inner import descend
from innerloop.core.learner import Unrolled, mask_absent
from innerloop.core.objectives import classification, membership
from innerloop.core.pretraining import Pretrained
from innerloop.core.prototypes import ways
from innerloop.core.searched import INNER_LR
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.types import Batch, Metrics, Params


class NewHead(NamedTuple):
    """A linear head for the task over the frozen encoder."""

    weight: Tensor  # [ways, d]
    bias: Tensor  # [ways]
    present: Tensor  # [ways] bool
    encoder: Params
    """With the support's statistics unless transductive."""


class Training(NamedTuple):
    """The head, and the support's features, which stay as they are."""

    head: NewHead
    features: Tensor  # [n, d]


@dataclass(frozen=True, kw_only=True)
class FineTune(Pretrained[NewHead], Unrolled[NewHead, Training]):
    """Adaptation replaces the pre-training classifier by a new head, from zero.

    Each step is plain gradient descent on the whole support. The authors' code takes SGD with momentum 0.9, dampening
    0.9 and weight decay 1e-3 on batches of 4, from a random start.
    """

    trains_on = ("batches",)
    sensible = by_kind(classes=Sensible(train={"meta_batch_size": 1}))

    inner_lr: float = field(default=0.1, metadata=INNER_LR)
    """Step size on the support's loss."""
    inner_steps: int = 100

    def start(self, params: Params, support: Batch) -> Training:
        features, encoder = self.features(tree.part(params, "encoder"), support)
        present = membership(support.y, ways(support), support.mask).sum(0) > 0
        zero = features.new_zeros(len(present), features.shape[1])
        return Training(NewHead(zero, zero[:, 0], present, encoder), features)

    def advance(self, params: Params, carry: Training, support: Batch) -> tuple[Training, Tensor]:
        head, features = carry

        def loss(weights: Params) -> tuple[Tensor, Metrics]:
            logits = mask_absent(features @ weights["weight"].T + weights["bias"], head.present)
            return classification(logits, support.y, support.mask), {}

        weights, value = descend({"weight": head.weight, "bias": head.bias}, loss, self.inner_lr)
        return Training(head._replace(**weights), features), value

    def finish(self, params: Params, carry: Training, support: Batch) -> NewHead:
        return carry.head

    def predict(self, params: Params, adapted: NewHead, x: Tensor | dict[str, Tensor]) -> Tensor:
        features = self.encoder.apply(adapted.encoder, x)
        return mask_absent(features @ adapted.weight.T + adapted.bias, adapted.present)
