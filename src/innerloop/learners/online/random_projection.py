"""RanPAC: McDonnell, Gong, Parvaneh, Abbasnejad, van den Hengel, NeurIPS 2023, https://arxiv.org/abs/2307.02251.

Adaptation is sums of products of features, seen through a fixed random layer, with each other and with their classes:
ridge regression on all that was ever seen, the same in every order, of which nothing is forgotten.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.objectives import membership, weighted
from innerloop.core.online import among_seen
from innerloop.core.online_features import OnFeatures
from innerloop.core.prototypes import ways
from innerloop.core.ranges import Count, Natural, Positive
from innerloop.core.types import Batch, Params


class Products(NamedTuple):
    """Sums over rows, what they are seen through, and what they come to."""

    gram: Tensor  # [units, units]
    classes: Tensor  # [units, ways]
    counts: Tensor  # [ways]
    projection: Tensor  # [d, units]
    weight: Tensor  # [units, ways] the regression on these sums, solved once for all answers


@dataclass(frozen=True, kw_only=True)
class RandomProjection(OnFeatures[Products]):
    """Logits are the regression's outputs. Parameters are the encoder's; of raw inputs there are none.

    It is solved when rows are seen, from sums alone, so that an answer costs two products.
    """

    trains_on = ("episodes",)

    units: Count = 1000
    """Units of the random layer, `relu(features W) / sqrt(units)` with a standard normal W."""
    ridge: Positive = 0.1
    """Weight of the squared coefficients beside the sum of squared errors."""
    projection_seed: Natural = 0
    """What W is drawn from."""

    def begin(self, params: Params, like: Batch) -> Products:
        features = self.features(params, like.x)
        drawn = random.normal(random.mix(self.projection_seed, 0), (features.shape[1], self.units), features.dtype)
        projection = drawn.to(features.device) * self.units**-0.5
        none = features.new_zeros(self.units, ways(like))
        return Products(features.new_zeros(self.units, self.units), none, none[0], projection, none)

    def step(self, params: Params, state: Products, batch: Batch) -> Products:
        rows = torch.relu(self.rows(batch) @ state.projection)  # [n, units]
        member = weighted(membership(batch.y, len(state.counts), batch.mask, rows.dtype), batch.weight)
        gram = state.gram + rows.T @ (rows * member.sum(1, keepdim=True))
        classes = state.classes + rows.T @ member
        return Products(gram, classes, state.counts + member.sum(0), state.projection, self._solved(gram, classes))

    def predict(self, params: Params, adapted: Products, x: Tensor | dict[str, Tensor]) -> Tensor:
        return among_seen(torch.relu(self.features(params, x) @ adapted.projection) @ adapted.weight, adapted.counts)

    def _solved(self, gram: Tensor, classes: Tensor) -> Tensor:
        # Sums of products square what rounding does to the rows: solved in float64, and never singular by the ridge.
        wide = gram.double()
        ridge = self.ridge * torch.eye(len(wide), dtype=wide.dtype, device=wide.device)
        factor = torch.linalg.cholesky_ex(wide + ridge).L
        return torch.cholesky_solve(classes.double(), factor).to(gram.dtype)
