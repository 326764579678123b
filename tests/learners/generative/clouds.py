"""A generator that is small enough to be checked by hand: a normal cloud around the mean of each class."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.learner import Learner, mask_absent
from innerloop.core.objectives import mean
from innerloop.core.prototypes import centroids, flat, labels, squared_distance
from innerloop.core.types import Batch, Episode, Metrics, Params


class Means(NamedTuple):
    """Of the classes."""

    means: Tensor  # [ways, d]
    counts: Tensor  # [ways]


@dataclass(frozen=True, kw_only=True)
class Clouds(Learner[Means]):
    """Examples are the mean of their class and noise, whose deviations are learned."""

    trains_on = ("episodes",)

    size: int = 8

    def init(self, seed: int) -> Params:
        return {"log_deviation": torch.zeros(self.size)}

    def adapt(self, params: Params, support: Batch) -> Means:
        return Means(*centroids(flat(support.x), support))

    def predict(self, params: Params, adapted: Means, x: Tensor | dict[str, Tensor]) -> Tensor:
        scale = params["log_deviation"].exp()
        return mask_absent(-0.5 * squared_distance(flat(x) / scale, adapted.means / scale), adapted.counts > 0)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        means, y, width = self.adapt(params, episode.support).means, labels(episode.query), params["log_deviation"]
        gap = (flat(episode.query.x) - means[y.clamp_min(0)]) / width.exp()
        loss = mean((0.5 * gap.square() + width).sum(1), y >= 0)
        return loss, {"width": width.mean().detach()}

    def generate(self, params: Params, adapted: Means, key: Tensor, count: int) -> Tensor:
        k, d = adapted.means.shape
        noise = random.normal(key, (k, count, d), adapted.means.dtype)
        return adapted.means[:, None] + params["log_deviation"].exp() * noise

    def mix(self, params: Params, adapted: Means, other: Tensor, weight: Tensor) -> Means:
        means, weight = adapted.means, weight[:, None].to(adapted.means.dtype)
        return adapted._replace(means=weight * means + (1 - weight) * means[other])


@dataclass(frozen=True, kw_only=True)
class Unmixed(Learner[Any]):
    """The same without anything between two classes."""

    trains_on = ("episodes",)

    init, adapt, predict, loss, generate = (
        getattr(Clouds, name) for name in ("init", "adapt", "predict", "loss", "generate")
    )
    size: int = 8
