"""Nearest mean of exemplars, without exemplars: the classifier of iCaRL, Rebuffi et al., CVPR 2017, arXiv 1611.07725.

Adaptation is a sum and a count for every class, so that nothing is forgotten and no order matters. With an encoder that
stays as it is the field calls it SimpleCIL (Zhou et al. 2023, https://arxiv.org/abs/2303.07338).
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

from innerloop.core.objectives import membership, normalize, weighted
from innerloop.core.online import among_seen
from innerloop.core.online_features import OnFeatures
from innerloop.core.prototypes import cosine, squared_distance, ways
from innerloop.core.types import Batch, Params


class Sums(NamedTuple):
    """What was seen of every class."""

    sums: Tensor  # [ways, d] of features
    counts: Tensor  # [ways]


@dataclass(frozen=True, kw_only=True)
class NearestMean(OnFeatures[Sums]):
    """Parameters are the encoder's; of raw inputs there are none."""

    trains_on = ("episodes",)

    distance: Literal["squared_euclidean", "cosine"] = "squared_euclidean"
    """Logits are negative squared Euclidean distances to the class means, or cosines with them. As iCaRL has it,
    features are of unit length then before their mean is taken."""

    def begin(self, params: Params, like: Batch) -> Sums:
        features = self.features(params, like.x)
        return Sums(features.new_zeros(ways(like), features.shape[1]), features.new_zeros(ways(like)))

    def step(self, params: Params, state: Sums, batch: Batch) -> Sums:
        features = self.rows(batch)
        features = normalize(features) if self.distance == "cosine" else features
        member = weighted(membership(batch.y, len(state.counts), batch.mask, features.dtype), batch.weight)
        return Sums(state.sums + member.T @ features, state.counts + member.sum(0))

    def predict(self, params: Params, adapted: Sums, x: Tensor | dict[str, Tensor]) -> Tensor:
        sums, counts = adapted
        means, features = sums / counts.clamp_min(1e-12)[:, None], self.features(params, x)
        logits = cosine(features, means) if self.distance == "cosine" else -squared_distance(features, means)
        return among_seen(logits, counts)
