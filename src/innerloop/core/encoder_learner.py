"""What learners share that compare features: how a support is seen, and class means of what is seen."""

from dataclasses import dataclass
from typing import Generic, NamedTuple

from torch import Tensor

from innerloop.core.learner import Adapted, EpisodicClassifier, Learner, mask_absent
from innerloop.core.model import Model
from innerloop.core.prototypes import Centroids, squared_distance
from innerloop.core.scores import Accuracy, measured
from innerloop.core.sensible import FROZEN_ROWS, FROZEN_WORDS, MANY_WAYS, by_kind
from innerloop.core.types import Batch, Metrics, Params


class Means(NamedTuple):
    """Class means of features, and the encoder that queries are seen with."""

    centroids: Centroids
    encoder: Params
    """With the support's statistics unless transductive."""


@dataclass(frozen=True, kw_only=True)
class EncoderLearner(Learner[Adapted], Generic[Adapted]):
    """A learner over the features of an encoder. Parameters are the encoder's, where a learner has no others."""

    sensible = by_kind(classes=MANY_WAYS, texts=FROZEN_ROWS, entities=FROZEN_WORDS)

    encoder: Model
    """x -> features [n, d]."""

    def init(self, seed: int) -> Params:
        return self.encoder.init(seed)

    def features(self, encoder: Params, support: Batch) -> tuple[Tensor, Params]:
        """Features of a support, and the encoder to keep for its queries.

        Args:
            encoder: Parameters of the encoder alone.
            support: Its batch-norm statistics are those of the rows that `mask` calls real.

        Returns:
            [n, d], and the encoder with the support's statistics unless transductive.
        """
        if self.transductive:
            return self.encoder.apply(encoder, support.x, support.mask), encoder
        return self.encoder.observe(encoder, support.x, support.mask)


@dataclass(frozen=True, kw_only=True)
class EncoderClassifier(EncoderLearner[Adapted], EpisodicClassifier[Adapted], Generic[Adapted]):
    """An `EncoderLearner` that is trained by its own use, as every `EpisodicClassifier`. Outputs are logits."""

    def logged(self, outputs: Tensor, query: Batch) -> Metrics:
        return {"score": measured(Accuracy(), outputs, query)[0]}


def nearness(features: Tensor, classes: Centroids) -> Tensor:
    """[n, ways] logits: negative squared Euclidean distances of [n, d] features to the class means."""
    return mask_absent(-squared_distance(features, classes.means), classes.counts > 0)
