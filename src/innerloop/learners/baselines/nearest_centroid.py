"""Nearest centroid, the baseline below which nothing was learned: Rocchio 1971.

Adaptation is the mean of every class, over raw inputs or the features of an encoder that was not meta-trained.
"""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from innerloop.core.learner import EpisodicClassifier, mask_absent
from innerloop.core.model import Model
from innerloop.core.prototypes import Centroids, centroids, squared_distance
from innerloop.core.types import Batch, Params


class Means(NamedTuple):
    """Class means, and the encoder with the support's statistics (empty for raw inputs)."""

    centroids: Centroids
    encoder: Params


@dataclass(frozen=True, kw_only=True)
class NearestCentroid(EpisodicClassifier[Means]):
    """Logits are negative squared Euclidean distances to the class means."""

    encoder: Model | None = None
    """x -> features [n, d]; None: the raw inputs, flattened."""

    def init(self, seed: int) -> Params:
        return {} if self.encoder is None else self.encoder.init(seed)

    def adapt(self, params: Params, support: Batch) -> Means:
        if self.encoder is not None and not self.transductive:
            params = self.encoder.with_statistics(params, support.x, support.mask)
        return Means(centroids(self._features(params, support.x, support.mask), support), params)

    def predict(self, params: Params, adapted: Means, x: Tensor | dict[str, Tensor]) -> Tensor:
        means, counts = adapted.centroids
        return mask_absent(-squared_distance(self._features(adapted.encoder, x), means), counts > 0)

    def _features(self, params: Params, x: Tensor | dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        if self.encoder is not None:
            return self.encoder.apply(params, x, mask)
        if isinstance(x, dict):
            raise TypeError("raw inputs must be one tensor; give an encoder for inputs of several parts")
        return x.flatten(1)
