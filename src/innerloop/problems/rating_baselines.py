"""What needs no training to predict a rating: means and medians, of all, of the user, of the item, and their sum."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from innerloop.core.learner import Learner
from innerloop.core.objectives import regression, weights
from innerloop.core.ranges import NotNegative
from innerloop.core.types import Batch, Episode, Metrics, Params

Of = Literal["global mean", "global median", "user mean", "user median", "item mean", "item mean + user offset"]


class Told(NamedTuple):
    """What a support says."""

    value: Tensor  # [], a mean or an offset
    median: Tensor  # []


@dataclass(frozen=True, kw_only=True)
class RatingBaseline(Learner[Told]):
    """Inputs are a dict with the `mean` of each item. Nothing is learned."""

    targets = ("values",)

    of: Of = "item mean + user offset"
    centre: float = 0.0
    """The mean of meta-training's ratings."""
    median: float = 0.0
    """Their median."""
    shrink: NotNegative = 3.0
    """Ratings of the mean that a user's own are shrunk by."""

    def init(self, seed: int) -> Params:
        return {}

    def adapt(self, params: Params, support: Batch) -> Told:
        y, rows = support.y[:, 0], weights(support.y, support.mask)
        assert isinstance(support.x, dict)
        expected = support.x["mean"].to(y.dtype) if self.of.startswith("item") else torch.full_like(y, self.centre)
        offset = ((y - expected) * rows).sum() / (rows.sum() + self.shrink)
        last = torch.where(rows, y, torch.inf).sort().values
        count = rows.sum()
        middle = torch.stack([(count - 1).clamp_min(0) // 2, count // 2])
        own = last.gather(0, middle.clamp_max(len(y) - 1)).mean()
        return Told(offset, torch.where(count > 0, own, self.median))

    def predict(self, params: Params, adapted: Told, x: Tensor | dict[str, Tensor]) -> Tensor:
        assert isinstance(x, dict)
        items = x["mean"][:, None].to(adapted.value.dtype)
        match self.of:
            case "item mean":
                return items
            case "item mean + user offset":
                return items + adapted.value
            case "global mean":
                return torch.full_like(items, self.centre)
            case "global median":
                return torch.full_like(items, self.median)
            case "user mean":
                return torch.full_like(items, self.centre) + adapted.value
            case "user median":
                return torch.zeros_like(items) + adapted.median

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        outputs = self.predict(params, self.adapt(params, episode.support), episode.query.x)
        return regression(outputs, episode.query.y, episode.query.mask), {}


def each(centre: float, median: float) -> Iterator[tuple[str, RatingBaseline]]:
    """All of them by the labels of their files, the strongest first.

    Args:
        centre: The mean of meta-training's ratings.
        median: Their median.
    """
    names: tuple[Of, ...] = ("item mean + user offset", "item mean", "user mean", "user median")
    for name in (*names, "global mean", "global median"):
        yield name.replace(" + ", "-").replace(" ", "-"), RatingBaseline(of=name, centre=centre, median=median)
