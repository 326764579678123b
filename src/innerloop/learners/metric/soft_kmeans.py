"""Semi-supervised ProtoNet: Ren et al., ICLR 2018, https://arxiv.org/abs/1803.00676.

Adaptation is the mean embedding of every class, refined by soft k-means with the support's unlabelled examples.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.encoder_learner import EncoderClassifier, Means, nearness
from innerloop.core.errors import InputError
from innerloop.core.learner import Unrolled, mask_absent
from innerloop.core.model import Model
from innerloop.core.networks import Rows, role
from innerloop.core.objectives import classification, membership
from innerloop.core.prototypes import Centroids, centroids, squared_distance
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.stopped import stop
from innerloop.core.types import Batch, Params

Variant = Literal["soft", "cluster", "masked"]


class Refining(NamedTuple):
    """Means under refinement, and the support's features, which stay as they are."""

    means: Means
    features: Tensor  # [n, d]


@dataclass(frozen=True, kw_only=True)
class SoftKMeans(EncoderClassifier[Means], Unrolled[Means, Refining]):
    """Logits are negative squared distances to the refined prototypes; without unlabelled rows this is ProtoNet.

    Unlabelled rows of the support have label -1. Parameters of the soft variant are the encoder's, as ProtoNet's, whose
    runs it can use; `encoder.*` and `log_radius` with the cluster, `encoder.*` and `gate.*` when masked.
    """

    trains_on = ("episodes",)
    uses_unlabelled = True
    sensible = by_kind(classes=Sensible(task={"train_ways": 20, "unlabelled": 5}, train={"meta_batch_size": 1}))

    variant: Variant = "soft"
    """soft: every unlabelled example is shared among the classes. cluster: also a cluster at the origin, whose radius
    is learned, takes what belongs to none. masked: examples too far from a class do not count for it."""
    inner_steps: int = 1
    """Refinements."""
    radius: float = 10.0
    """Radius of the cluster at first, where a class has 1."""
    gate: Model | None = field(
        default=None,
        metadata=role(Rows(inputs=5, outputs=2, hidden=(20,), activation="tanh", when={"variant": "masked"})),
    )
    """Masked: five statistics of the distances of unlabelled examples to a class, [ways, 5], -> [ways, 2] logarithms of
    the threshold and of the slope, as `nn.mlp.MLP(5, (20,), 2, "tanh")`."""
    stop_gradient: bool = False
    """Take as constants what the authors' code does: the soft variant's shares, and the statistics when masked."""

    def __post_init__(self) -> None:
        if self.variant not in get_args(Variant):
            raise InputError(f"there is no variant '{self.variant}': choose {', '.join(get_args(Variant))}")
        if self.variant == "masked" and self.gate is None:
            raise InputError("the masked variant needs the network gate")
        if not self.radius > 0:
            raise InputError(f"radius must be more than 0, got {self.radius}")

    @property
    def exact_gradient(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return not self.stop_gradient or self.variant == "cluster"

    def init(self, seed: int) -> Params:
        encoder = self.encoder.init(seed)
        if self.variant == "cluster":
            return tree.join(encoder=encoder) | {"log_radius": torch.tensor(math.log(self.radius))}
        if self.variant == "masked" and self.gate:
            return tree.join(encoder=encoder, gate=self.gate.init(seed))
        return encoder

    def start(self, params: Params, support: Batch) -> Refining:
        own = params if self.variant == "soft" else tree.part(params, "encoder")
        features, encoder = self.features(own, support)
        return Refining(Means(centroids(features, support), encoder), features)

    def advance(self, params: Params, carry: Refining, support: Batch) -> tuple[Refining, Tensor]:
        (means, counts), features = carry.means.centroids, carry.features
        distances = squared_distance(features, means)  # [n, ways]
        logits = mask_absent(-distances, counts > 0)
        unlabelled = support.y < 0 if support.mask is None else (support.y < 0) & support.mask
        share = self._shares(params, features, distances, logits, unlabelled)
        share = share * (unlabelled[:, None] & (counts > 0))
        share = share + membership(support.y, len(counts), support.mask, features.dtype)
        counts = share.sum(0)
        means = (share.T @ features) / counts.clamp_min(1)[:, None]
        refined = carry.means._replace(centroids=Centroids(means, counts))
        return carry._replace(means=refined), classification(logits, support.y, support.mask)

    def finish(self, params: Params, carry: Refining, support: Batch) -> Means:
        return carry.means

    def predict(self, params: Params, adapted: Means, x: Tensor | dict[str, Tensor]) -> Tensor:
        return nearness(self.encoder.apply(adapted.encoder, x), adapted.centroids)

    def _shares(
        self, params: Params, features: Tensor, distances: Tensor, logits: Tensor, unlabelled: Tensor
    ) -> Tensor:
        """[n, ways] how much of every example each class takes."""
        if self.variant == "cluster":
            log_radius = params["log_radius"]
            other = -features.square().sum(-1, keepdim=True) * (-2 * log_radius).exp() - log_radius
            return torch.softmax(torch.cat([logits, other], -1), -1)[:, :-1]
        share = torch.softmax(logits, -1)
        if self.variant == "masked" and self.gate:
            normalised, statistics = _describe(distances, unlabelled)
            statistics = stop(statistics) if self.stop_gradient else statistics
            threshold, slope = self.gate.apply(tree.part(params, "gate"), statistics).exp().unbind(-1)
            return share * torch.sigmoid(slope * (threshold - normalised))
        return stop(share) if self.stop_gradient else share


def _describe(distances: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Distances relative to their mean over some rows, and their least, largest, variance, skewness, excess kurtosis.

    Args:
        distances: [n, ways].
        rows: [n] bool.

    Returns:
        [n, ways], 0 in other rows, and [ways, 5]; finite without any such row.
    """
    count = rows.sum().clamp_min(1)
    real = rows[:, None].to(distances.dtype)
    mean = (distances * real).sum(0) / count
    normalised = distances * real / torch.where(mean > 0, mean, 1)
    largest = normalised.amax(0)
    least = largest - ((largest - normalised) * real).amax(0)
    offset = (normalised - normalised.sum(0) / count) * real
    variance = offset.square().sum(0) / count
    spread = variance.clamp_min(1e-12)
    skewness = offset.pow(3).sum(0) / count / spread.pow(1.5)
    kurtosis = offset.pow(4).sum(0) / count / spread.square() - 3
    return normalised, torch.stack([least, largest, variance, skewness, kurtosis], -1)
