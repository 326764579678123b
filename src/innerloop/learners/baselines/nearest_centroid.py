"""Nearest centroid, the baseline below which nothing was learned: Rocchio 1971.

Adaptation is the mean of every class, over raw inputs or the features of an encoder that was not meta-trained.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from innerloop.core.encoder_learner import Means
from innerloop.core.learner import EpisodicClassifier, mask_absent
from innerloop.core.model import Model
from innerloop.core.objectives import normalize
from innerloop.core.prototypes import centroids, cosine, flat, squared_distance
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.types import Batch, Params

Distance = Literal["squared_euclidean", "cosine"]


@dataclass(frozen=True, kw_only=True)
class NearestCentroid(EpisodicClassifier[Means]):
    """Logits are negative squared Euclidean distances to the class means, or cosines with them.

    For raw inputs there are no parameters, and the encoder of what is adapted is empty.
    """

    trains_on = ("episodes",)
    sensible = by_kind(classes=Sensible(network={"network": "none"}, train={"steps": 0}))

    encoder: Model | None = None
    """x -> features [n, d]; None: the raw inputs, flattened."""
    distance: Distance = "squared_euclidean"
    """cosine: features are of unit length before their mean is taken, so that long ones do not count more; logits are
    the cosines themselves, from -1 to 1, so probabilities need a temperature (see `evaluate.calibration`)."""

    @property
    def weighs(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """True of raw inputs: norms of an encoder would count every row as one."""
        return self.encoder is None

    def init(self, seed: int) -> Params:
        return {} if self.encoder is None else self.encoder.init(seed)

    def adapt(self, params: Params, support: Batch) -> Means:
        if self.encoder is not None and not self.transductive:
            params = self.encoder.with_statistics(params, support.x, support.mask)
        weight = support.weight if self.weighs else None
        return Means(centroids(self._features(params, support.x, support.mask), support, weight), params)

    def predict(self, params: Params, adapted: Means, x: Tensor | dict[str, Tensor]) -> Tensor:
        means, counts = adapted.centroids
        features = self._features(adapted.encoder, x)
        logits = cosine(features, means) if self.distance == "cosine" else -squared_distance(features, means)
        return mask_absent(logits, counts > 0)

    def _features(self, params: Params, x: Tensor | dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        features = flat(x) if self.encoder is None else self.encoder.apply(params, x, mask)
        return normalize(features) if self.distance == "cosine" else features
