"""Prototypical Networks: Snell, Swersky, Zemel, NeurIPS 2017, https://arxiv.org/abs/1703.05175.

Adaptation is the mean embedding of every class; a query belongs to the nearest.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.config import LATER
from innerloop.core.encoder_learner import EncoderClassifier
from innerloop.core.errors import InputError
from innerloop.core.learner import mask_absent
from innerloop.core.objectives import membership
from innerloop.core.prototypes import Centroids, centroids, cosine, labels, precise, squared_distance
from innerloop.core.ranges import Positive
from innerloop.core.searched import among
from innerloop.core.types import Batch, Params

Distance = Literal["squared_euclidean", "cosine", "mahalanobis"]
Other = Literal["prototype", "nearest", "threshold"]


class Prototypes(NamedTuple):
    """What a task leaves behind."""

    centroids: Centroids
    encoder: Params
    """The encoder, with the support's statistics unless transductive."""
    metric: Params
    """`factors` [ways, d, d] of the Mahalanobis distance; `others` [n, d] embeddings of the support and `counted` [n]
    bool, which of them are of class 0, where it is as near as its nearest; else empty."""


@dataclass(frozen=True, kw_only=True)
class ProtoNet(EncoderClassifier[Prototypes]):
    """Logits are negative squared Euclidean distances (equation 2), neither scaled nor rooted, or of another kind.

    Parameters are the encoder's; with the cosine or a threshold they are `encoder.*`, `log_temperature` and
    `log_threshold`.

    It is `incremental` where means are all that it keeps, and no batch norms see a support as a whole.
    """

    trains_on = ("episodes",)

    low_precision = True

    distance: Distance = field(default="squared_euclidean", metadata=among("squared_euclidean", "cosine"))
    """squared_euclidean: the paper's. cosine: the cosine times a learned temperature. mahalanobis: half of the squared
    distance under the covariance of each class, regularised by that of the task (Simple CNAPS, Bateni et al. 2020)."""
    temperature: Positive = 10.0
    """What the cosine is multiplied by at first; learned."""
    other: Other = field(default="prototype", metadata=LATER)
    """What class 0 is. prototype: a class as any other. Where it is "none of the others", such as words outside of
    entities, it is no cluster. nearest: it is as near as the nearest of its examples. threshold: it is as far as a
    learned distance, whatever its examples are, and there without any."""
    threshold: Positive = field(default=1.0, metadata=LATER)
    """That distance at first: a squared one, half of one under a covariance, or 1 less the cosine."""

    def __post_init__(self) -> None:
        if self.other == "nearest" and self.distance == "mahalanobis":
            raise InputError(
                "ProtoNet: other='nearest' has no covariance for class 0, so that its distance cannot be compared with "
                "distance='mahalanobis': take another distance, or other='threshold'"
            )

    @property
    def incremental(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        only_means = self.distance != "mahalanobis" and self.other != "nearest"
        return only_means and not self.encoder.norm_weights()

    @property
    def _scales(self) -> bool:
        """Whether something is learned besides the encoder."""
        return self.distance == "cosine" or self.other == "threshold"

    def init(self, seed: int) -> Params:
        params = self.encoder.init(seed)
        if self._scales:
            params = tree.join(encoder=params)
        if self.distance == "cosine":
            params |= {"log_temperature": torch.tensor(math.log(self.temperature))}
        if self.other == "threshold":
            params |= {"log_threshold": torch.tensor(math.log(self.threshold))}
        return params

    def adapt(self, params: Params, support: Batch) -> Prototypes:
        own = tree.part(params, "encoder") if self._scales else params
        features, encoder = self.features(own, support)
        classes = centroids(features, support)
        metric = {"factors": _factors(features, support, classes)} if self.distance == "mahalanobis" else {}
        if self.other == "nearest":
            metric = {"others": features, "counted": labels(support) == 0}
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
        logits, present = self._logits(params, adapted, features, means), counts > 0
        if self.other == "prototype":
            return mask_absent(logits, present)
        if self.other == "nearest":
            each = self._logits(params, adapted, features, adapted.metric["others"])
            none = each.masked_fill(~adapted.metric["counted"], torch.finfo(each.dtype).min).amax(1)
        else:
            far = params["log_threshold"].exp()
            none = (1 - far) * params["log_temperature"].exp() if self.distance == "cosine" else -far
            none, first = none.expand(len(logits)), torch.arange(len(present), device=present.device) == 0
            present = present | first
        return mask_absent(torch.cat([none[:, None], logits[:, 1:]], 1), present)

    def _logits(self, params: Params, adapted: Prototypes, features: Tensor, points: Tensor) -> Tensor:
        """[n, m] of [n, d] features, as near as they are to [m, d] points; with the Mahalanobis distance, the means."""
        if self.distance == "cosine":
            return params["log_temperature"].exp() * cosine(features, points)
        if self.distance == "mahalanobis":
            return -_mahalanobis(features, points, adapted.metric["factors"])
        return -squared_distance(features, points)


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
