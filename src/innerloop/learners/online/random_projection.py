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
    """Sums over rows, and what they are seen through."""

    gram: Tensor  # [units, units]
    classes: Tensor  # [units, ways]
    counts: Tensor  # [ways]
    projection: Tensor  # [d, units]


@dataclass(frozen=True, kw_only=True)
class RandomProjection(OnFeatures[Products]):
    """Logits are the regression's outputs. Parameters are the encoder's; of raw inputs there are none."""

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
        return Products(features.new_zeros(self.units, self.units), none, none[0], projection)

    def step(self, params: Params, state: Products, batch: Batch) -> Products:
        rows = torch.relu(self.rows(batch) @ state.projection)  # [n, units]
        member = weighted(membership(batch.y, len(state.counts), batch.mask, rows.dtype), batch.weight)
        gram = state.gram + rows.T @ (rows * member.sum(1, keepdim=True))
        return state._replace(gram=gram, classes=state.classes + rows.T @ member, counts=state.counts + member.sum(0))

    def predict(self, params: Params, adapted: Products, x: Tensor | dict[str, Tensor]) -> Tensor:
        # Sums of products square what rounding does to the rows: solved in float64, and never singular by the ridge.
        gram = adapted.gram.double()
        ridge = self.ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        factor = torch.linalg.cholesky_ex(gram + ridge).L
        weight = torch.cholesky_solve(adapted.classes.double(), factor).to(adapted.gram.dtype)
        return among_seen(torch.relu(self.features(params, x) @ adapted.projection) @ weight, adapted.counts)
