"""BD-CSPN, prototype rectification: Liu, Song, Qin, ECCV 2020, https://arxiv.org/abs/1911.10713.

Adaptation is the mean direction of every class, rectified with the support's unlabelled examples, each of which counts
for the class that it is most like, and for more the more it is like it.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.encoder_learner import EncoderClassifier
from innerloop.core.errors import InputError
from innerloop.core.learner import mask_absent
from innerloop.core.objectives import membership, normalize
from innerloop.core.prototypes import Centroids, centroids, cosine, precise, ways
from innerloop.core.types import Batch, Params


class Rectified(NamedTuple):
    """What queries are compared with."""

    prototypes: Centroids
    shift: Tensor  # [d] added to a query's direction
    encoder: Params
    """With the support's statistics unless transductive."""


@dataclass(frozen=True, kw_only=True)
class BDCSPN(EncoderClassifier[Rectified]):
    """Logits are cosines with the rectified prototypes times a learned temperature; features are of unit length.

    The paper takes the queries of a task as its unlabelled examples. Here these are the rows of the support with label
    -1, so a prediction does not depend on other queries. Without such rows nothing is rectified but the weights of a
    class's own examples. Parameters: `encoder.*` and `log_temperature`.
    """

    trains_on = ("episodes",)
    uses_unlabelled = True

    temperature: float = 10.0
    """What cosines are multiplied by in the logits, at first; learned."""
    sharpness: float = 10.0
    """What they are multiplied by in the weights, the paper's epsilon; 0: all examples of a class weigh alike."""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise InputError(f"temperature must be more than 0, got {self.temperature}")
        if not self.sharpness >= 0:
            raise InputError(f"sharpness must not be negative, got {self.sharpness}")

    def init(self, seed: int) -> Params:
        start = {"log_temperature": torch.tensor(math.log(self.temperature))}
        return tree.join(encoder=self.encoder.init(seed)) | start

    def adapt(self, params: Params, support: Batch) -> Rectified:
        features, encoder = self.features(tree.part(params, "encoder"), support)
        features = normalize(precise(features))
        basic = centroids(features, support)
        labelled = membership(support.y, ways(support), support.mask, features.dtype)  # [n, ways]
        unlabelled = support.y < 0 if support.mask is None else (support.y < 0) & support.mask
        shift = _shift(features, labelled.sum(1), unlabelled.to(features.dtype))
        features = features + unlabelled[:, None] * shift
        alike = cosine(features, basic.means)  # [n, ways]
        guess = mask_absent(alike, basic.counts > 0).argmax(1)
        member = labelled + membership(guess, ways(support), unlabelled, features.dtype)
        weight = member * (self.sharpness * (alike - 1)).exp()
        total = weight.sum(0)
        means = weight.T @ features / torch.where(total > 0, total, 1)[:, None]
        return Rectified(Centroids(means, member.sum(0)), shift, encoder)

    def predict(self, params: Params, adapted: Rectified, x: Tensor | dict[str, Tensor]) -> Tensor:
        features = normalize(precise(self.encoder.apply(adapted.encoder, x))) + adapted.shift
        means, counts = adapted.prototypes
        return mask_absent(params["log_temperature"].exp() * cosine(features, means), counts > 0)


def _shift(features: Tensor, labelled: Tensor, unlabelled: Tensor) -> Tensor:
    """[d] from the mean of the unlabelled rows to that of the labelled ones; 0 where there are none."""
    known, unknown = labelled.sum(), unlabelled.sum()
    difference = labelled @ features / known.clamp_min(1) - unlabelled @ features / unknown.clamp_min(1)
    return difference * (known * unknown > 0)
