"""ANIL, almost no inner loop: Raghu, Raghu, Bengio, Vinyals, ICLR 2020, https://arxiv.org/abs/1909.09157.

Adaptation is gradient descent on the head alone, over features that only meta-training changes.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from innerloop.core import tree
from innerloop.core.inner import descend
from innerloop.core.learner import EpisodicClassifier, Unrolled
from innerloop.core.model import Model
from innerloop.core.networks import FEATURES, OUTPUTS, Rows, role
from innerloop.core.searched import INNER_LR, INNER_STEPS
from innerloop.core.sensible import INNER_LOOP, Sensible, by_kind
from innerloop.core.types import Batch, Metrics, Params


class Head(NamedTuple):
    """Adapted head weights over features with the support's statistics."""

    head: Params
    encoder: Params
    features: Tensor  # [n, d] of the support, computed once


@dataclass(frozen=True, kw_only=True)
class ANIL(EpisodicClassifier[Head], Unrolled[Head, Head]):
    """Parameters: `encoder.*`, which the inner loop leaves alone, and `head.*`, which it adapts."""

    trains_on = ("episodes",)
    targets = ("classes", "values")
    sensible = by_kind(classes=INNER_LOOP, behaviour=Sensible(fields={"inner_lr": 0.5}))

    encoder: Model
    """x -> features."""
    head: Model = field(metadata=role(Rows(FEATURES, OUTPUTS)))
    """features -> outputs of a task."""
    inner_lr: float = field(default=0.5, metadata=INNER_LR)
    """Step size on the mean support loss."""
    inner_steps: int = field(default=1, metadata=INNER_STEPS)

    def init(self, seed: int) -> Params:
        return tree.join(encoder=self.encoder.init(seed), head=self.head.init(seed))

    def start(self, params: Params, support: Batch) -> Head:
        encoder = tree.part(params, "encoder")
        if self.transductive:
            features = self.encoder.apply(encoder, support.x, support.mask)
        else:
            features, encoder = self.encoder.observe(encoder, support.x, support.mask)
        return Head(tree.part(params, "head"), encoder, features)

    def advance(self, params: Params, carry: Head, support: Batch) -> tuple[Head, Tensor]:
        def loss(head: Params) -> tuple[Tensor, Metrics]:
            return self.objective(self.head.apply(head, carry.features, support.mask), support.y, support.mask), {}

        head, value = descend(carry.head, loss, self.inner_lr)
        return carry._replace(head=head), value

    def finish(self, params: Params, carry: Head, support: Batch) -> Head:
        if self.transductive:
            return carry
        return carry._replace(head=self.head.with_statistics(carry.head, carry.features, support.mask))

    def predict(self, params: Params, adapted: Head, x: Tensor | dict[str, Tensor]) -> Tensor:
        return self.head.apply(adapted.head, self.encoder.apply(adapted.encoder, x))
