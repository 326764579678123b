"""Prototypical Networks: Snell, Swersky, Zemel, NeurIPS 2017, https://arxiv.org/abs/1703.05175.

Adaptation is the mean embedding of every class; a query belongs to the nearest.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.encoder_learner import EncoderClassifier
from innerloop.core.learner import mask_absent
from innerloop.core.objectives import membership
from innerloop.core.prototypes import Centroids, centroids, cosine, precise, squared_distance
from innerloop.core.ranges import Positive
from innerloop.core.types import Batch, Params

Distance = Literal["squared_euclidean", "cosine", "mahalanobis"]


class Prototypes(NamedTuple):
    """What a task leaves behind."""

    centroids: Centroids
    encoder: Params
    """The encoder, with the support's statistics unless transductive."""
    metric: Params
    """`factors` [ways, d, d] of the Mahalanobis distance; empty for the others."""


@dataclass(frozen=True, kw_only=True)
class ProtoNet(EncoderClassifier[Prototypes]):
    """Logits are negative squared Euclidean distances (equation 2), neither scaled nor rooted, or of another kind.

    Parameters are the encoder's; with the cosine `encoder.*` and `log_temperature`.

    It is `incremental` where means are all that it keeps, and no batch norms see a support as a whole.
    """

    trains_on = ("episodes",)

    low_precision = True

    distance: Distance = "squared_euclidean"
    """squared_euclidean: the paper's. cosine: the cosine times a learned temperature. mahalanobis: half of the squared
    distance under the covariance of each class, regularised by that of the task (Simple CNAPS, Bateni et al. 2020)."""
    temperature: Positive = 10.0
    """What the cosine is multiplied by at first; learned."""

    @property
    def incremental(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.distance != "mahalanobis" and not self.encoder.norm_weights()

    def init(self, seed: int) -> Params:
        encoder = self.encoder.init(seed)
        if self.distance != "cosine":
            return encoder
        return tree.join(encoder=encoder) | {"log_temperature": torch.tensor(math.log(self.temperature))}

    def adapt(self, params: Params, support: Batch) -> Prototypes:
        own = tree.part(params, "encoder") if self.distance == "cosine" else params
        features, encoder = self.features(own, support)
        classes = centroids(features, support)
        metric = {"factors": _factors(features, support, classes)} if self.distance == "mahalanobis" else {}
        return Prototypes(classes, encoder, metric)

    def update(self, params: Params, adapted: Prototypes, more: Batch) -> Prototypes:
        if not self.incremental:
            return super().update(params, adapted, more)
        (means, counts), new = adapted.centroids, centroids(self.encoder.apply(adapted.encoder, more.x), more)
        total = counts + new.counts
        sums = means * counts[:, None] + new.means * new.counts[:, None]
        return adapted._replace(centroids=Centroids(sums / total.clamp_min(1)[:, None], total))

    def predict(self, params: Params, adapted: Prototypes, x: Tensor | dict[str, Tensor]) -> Tensor:
        features = self.encoder.apply(adapted.encoder, x)
        means, counts = adapted.centroids
        if self.distance == "cosine":
            logits = params["log_temperature"].exp() * cosine(features, means)
        elif self.distance == "mahalanobis":
            logits = -_mahalanobis(features, means, adapted.metric["factors"])
        else:
            logits = -squared_distance(features, means)
        return mask_absent(logits, counts > 0)


def _factors(features: Tensor, support: Batch, classes: Centroids) -> Tensor:
    """Cholesky factors of `Q_k = a_k S_k + (1 - a_k) S + I` with `a_k = n_k / (n_k + 1)`.

    S_k and S are the covariances of class k's n_k examples and of all examples; that of a single one is 0.

    Returns:
        [ways, d, d] lower triangular.
    """
    with torch.autocast(features.device.type, enabled=False):
        features, means = precise(features), precise(classes.means)
        counts = classes.counts.to(features.dtype)
        member = membership(support.y, len(counts), support.mask, features.dtype)  # [n, ways]
        every = counts.sum()
        mean = (counts[:, None] * means).sum(0) / every.clamp_min(1)
        offsets = (features - mean) * member.sum(1, keepdim=True)
        task = offsets.T @ offsets / (every - 1).clamp_min(1)  # [d, d]
        offsets = (features - means[:, None]) * member.T[:, :, None]  # [ways, n, d]
        each = offsets.mT @ offsets / (counts - 1).clamp_min(1)[:, None, None]  # [ways, d, d]
        share = (counts / (counts + 1))[:, None, None]
        identity = torch.eye(features.shape[1], dtype=features.dtype, device=features.device)
        # Never singular, so it need not be checked, which would wait for the device.
        return torch.linalg.cholesky_ex(share * each + (1 - share) * task + identity).L


def _mahalanobis(x: Tensor, means: Tensor, factors: Tensor) -> Tensor:
    """[n, ways] of `1/2 (x - c_k)' Q_k^-1 (x - c_k)`, by the Cholesky factors of Q."""
    with torch.autocast(x.device.type, enabled=False):
        offsets = (precise(x) - precise(means)[:, None]).mT  # [ways, d, n]
        return 0.5 * torch.linalg.solve_triangular(factors, offsets, upper=False).square().sum(1).T
