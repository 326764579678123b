"""Pre-train, then fine-tune a linear head: the Baseline of Chen et al., ICLR 2019, https://arxiv.org/abs/1904.04232.

Adaptation is gradient descent on a new linear head over frozen features of an ordinarily trained classifier.
"""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from innerloop.core import tree
from innerloop.core.inner import descend
from innerloop.core.learner import EpisodicClassifier, Unrolled, mask_absent, score
from innerloop.core.model import Model
from innerloop.core.objectives import classification
from innerloop.core.types import Batch, Episode, Metrics, Params


class NewHead(NamedTuple):
    """A linear head for the task over the frozen encoder."""

    weight: Tensor  # [ways, d]
    bias: Tensor  # [ways]
    classes: Tensor  # [ways] bool
    encoder: Params
    """With the support's statistics unless transductive."""


class Training(NamedTuple):
    """The head, and the support's features, which stay as they are."""

    head: NewHead
    features: Tensor  # [n, d]


@dataclass(frozen=True, kw_only=True)
class FineTune(EpisodicClassifier[NewHead], Unrolled[NewHead, Training]):
    """`loss` is plain classification of the query over all meta-training classes (`tasks.BatchSampler`).

    Parameters: `encoder.*` and `head.*`, the pre-training classifier, which adaptation replaces by a new head from
    zero.
    """

    encoder: Model
    """x -> features [n, d]."""
    head: Model
    """features -> logits of all meta-training classes."""
    inner_lr: float = 0.1
    inner_steps: int = 100

    def init(self, seed: int) -> Params:
        return tree.join(encoder=self.encoder.init(seed), head=self.head.init(seed))

    def start(self, params: Params, support: Batch) -> Training:
        encoder = tree.part(params, "encoder")
        if not self.transductive:
            encoder = self.encoder.with_statistics(encoder, support.x, support.mask)
        features = self.encoder.apply(encoder, support.x, support.mask)
        if support.classes is None:
            raise ValueError("a new head needs `classes` ([ways] bool): its length is the number of ways")
        ways = support.classes.shape[0]
        zero = features.new_zeros(ways, features.shape[1])
        return Training(NewHead(zero, zero[:, 0], support.classes, encoder), features)

    def advance(self, params: Params, carry: Training, support: Batch) -> tuple[Training, Tensor]:
        head, features = carry

        def loss(weights: Params) -> tuple[Tensor, Metrics]:
            logits = mask_absent(features @ weights["weight"].T + weights["bias"], head.classes)
            return classification(logits, support.y, support.mask), {}

        weights, value = descend({"weight": head.weight, "bias": head.bias}, loss, self.inner_lr)
        return Training(head._replace(**weights), features), value

    def finish(self, params: Params, carry: Training, support: Batch) -> NewHead:
        return carry.head

    def predict(self, params: Params, adapted: NewHead, x: Tensor | dict[str, Tensor]) -> Tensor:
        features = self.encoder.apply(adapted.encoder, x)
        return mask_absent(features @ adapted.weight.T + adapted.bias, adapted.classes)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        query = episode.query
        features = self.encoder.apply(tree.part(params, "encoder"), query.x, query.mask)
        logits = self.head.apply(tree.part(params, "head"), features, query.mask)
        return self.objective(logits, query.y, query.mask), {"score": score(logits, query)}
