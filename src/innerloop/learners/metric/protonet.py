"""Prototypical Networks: Snell, Swersky, Zemel, NeurIPS 2017, https://arxiv.org/abs/1703.05175.

Adaptation is the mean embedding of every class; a query belongs to the nearest.
"""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from innerloop.core.learner import EpisodicClassifier, mask_absent
from innerloop.core.model import Model
from innerloop.core.prototypes import Centroids, centroids, squared_distance
from innerloop.core.types import Batch, Params


class Prototypes(NamedTuple):
    """What a task leaves behind."""

    centroids: Centroids
    encoder: Params
    """The encoder, with the support's statistics unless transductive."""


@dataclass(frozen=True, kw_only=True)
class ProtoNet(EpisodicClassifier[Prototypes]):
    """Logits are negative squared Euclidean distances (equation 2), neither scaled nor rooted."""

    low_precision = True

    encoder: Model
    """x -> features [n, d]."""

    def init(self, seed: int) -> Params:
        return self.encoder.init(seed)

    def adapt(self, params: Params, support: Batch) -> Prototypes:
        if not self.transductive:
            params = self.encoder.with_statistics(params, support.x, support.mask)
        features = self.encoder.apply(params, support.x, support.mask)
        return Prototypes(centroids(features, support), params)

    def predict(self, params: Params, adapted: Prototypes, x: Tensor | dict[str, Tensor]) -> Tensor:
        features = self.encoder.apply(adapted.encoder, x)
        means, counts = adapted.centroids
        return mask_absent(-squared_distance(features, means), counts > 0)
