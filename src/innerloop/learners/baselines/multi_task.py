"""Multi-task training: Caruana, Machine Learning 28, 1997, https://doi.org/10.1023/A:1007379606734.

Adaptation is a new head on the shared trunk: the mean of every class, of features of unit length.
"""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from innerloop.core.learner import mask_absent, score
from innerloop.core.objectives import normalize
from innerloop.core.pretraining import Pretrained
from innerloop.core.prototypes import Centroids, centroids, squared_distance
from innerloop.core.types import Batch, Episode, Metrics, Params


class Means(NamedTuple):
    """Class means of unit-length features, and the encoder with the support's statistics unless transductive."""

    centroids: Centroids
    encoder: Params


@dataclass(frozen=True, kw_only=True)
class MultiTask(Pretrained[Means]):
    """`loss` is classification among the classes of one training task (`tasks.TaskBatchSampler`), by that task's head.

    The heads are rows of one `head`: the logits of classes that the task does not have are masked. At test logits are
    negative squared Euclidean distances to the class means.
    """

    def adapt(self, params: Params, support: Batch) -> Means:
        features, encoder = self.features(params, support)
        return Means(centroids(normalize(features), support), encoder)

    def predict(self, params: Params, adapted: Means, x: Tensor | dict[str, Tensor]) -> Tensor:
        means, counts = adapted.centroids
        return mask_absent(-squared_distance(normalize(self.encoder.apply(adapted.encoder, x)), means), counts > 0)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        query = episode.query
        logits = mask_absent(self.logits(params, query), query.classes)
        return self.objective(logits, query.y, query.mask), {"score": score(logits, query)}
