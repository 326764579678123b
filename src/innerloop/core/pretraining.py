"""What the baselines share: an encoder that is trained as an ordinary classifier of the meta-training classes."""

from dataclasses import dataclass, field
from typing import Generic

from torch import Tensor

from innerloop.core import tree
from innerloop.core.encoder_learner import EncoderClassifier
from innerloop.core.learner import Adapted
from innerloop.core.model import Model
from innerloop.core.networks import FEATURES, OUTPUTS, Rows, role
from innerloop.core.types import Batch, Episode, Metrics, Params


@dataclass(frozen=True, kw_only=True)
class Pretrained(EncoderClassifier[Adapted], Generic[Adapted]):
    """`loss` is plain classification of the query over all meta-training classes (`tasks.BatchSampler`).

    Parameters: `encoder.*` and `head.*`, the pre-training classifier, which adaptation has no use for.
    """

    head: Model = field(metadata=role(Rows(FEATURES, OUTPUTS)))
    """features -> logits of all meta-training classes."""

    def init(self, seed: int) -> Params:
        return tree.join(encoder=self.encoder.init(seed), head=self.head.init(seed))

    def logits(self, params: Params, query: Batch) -> Tensor:
        """[n, classes] of the pre-training classifier."""
        features = self.encoder.apply(tree.part(params, "encoder"), query.x, query.mask)
        return self.head.apply(tree.part(params, "head"), features, query.mask)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        query = episode.query
        logits = self.logits(params, query)
        return self.objective(logits, query.y, query.mask), self.logged(logits, query)
