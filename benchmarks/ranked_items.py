"""Rankings of all items that somebody has not rated, on users of a test: by learners, and by what needs no learning."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.aligned import from_numpy
from innerloop.core.interval import Interval, difference, interval
from innerloop.core.types import Batch
from innerloop.evaluate.ranking import gains, ndcg, recall
from innerloop.tasks.ratings.sampler import RatingSampler

Scorer = Callable[[np.ndarray, np.ndarray], Tensor]
"""Positions of rated items and their ratings -> a score for every item."""
_LIKED = 4.0
"""From which rating on an item counts as found."""


class Ranked(NamedTuple):
    """How good the rankings of many users are."""

    ndcg: Tensor  # [users]
    recall: Tensor  # [users], NaN for who liked nothing
    coverage: float
    """Share of all candidates that anybody is recommended."""

    def __str__(self) -> str:
        of_some = self.recall[self.recall.isfinite()]
        parts = (("nDCG", interval(self.ndcg)), ("recall", interval(of_some)))
        return (
            ", ".join(f"{name} {of.mean:.4f} ± {of.ci95:.4f}" for name, of in parts) + f", coverage {self.coverage:.3f}"
        )

    def above(self, other: "Ranked") -> Interval:
        """The difference of nDCG, paired over users."""
        return difference(self.ndcg, other.ndcg)


def ranked(
    score: Scorer,
    tests: RatingSampler,
    users: Iterable[int],
    k: int = 10,
) -> Ranked:
    """Rank, for every user, all items that meta-training knows and the user was not told to have rated.

    What is not rated is worth nothing, though a user might like it: numbers are small, and good to compare.

    Args:
        score: The ranking.
        tests: Tasks, of `user-cold` or a like state.
        users: Which tasks.
        k: How long lists are.
    """
    known = from_numpy(tests.encoding.counts > 0)
    ndcgs, recalls, shown = [], [], torch.zeros_like(known)
    for user in users:
        support, query = tree.slice(tests.episodes(user, 1), 0)
        told, asked = _rated(support), _rated(query)
        scores, ratings = score(*told), torch.zeros(len(known), dtype=torch.float64)
        ratings[asked[0]] = from_numpy(asked[1])
        open_ = known.clone()
        open_[told[0]] = False
        at = open_.nonzero()[:, 0]
        worth = torch.where(ratings > 0, gains(ratings), 0.0)
        ndcgs.append(ndcg(scores[at], worth[at], k))
        recalls.append(recall(scores[at], ratings[at] >= _LIKED, k))
        shown[at[scores[at].argsort(descending=True, stable=True)[:k]]] = True
    return Ranked(
        torch.tensor(ndcgs, dtype=torch.float64),
        torch.tensor(recalls, dtype=torch.float64),
        float(shown.sum() / known.sum()),
    )


def _rated(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Positions and ratings of the items of a task that meta-training knows."""
    assert isinstance(batch.x, dict) and batch.mask is not None
    items = batch.x["item"]
    real = batch.mask & (items > 0)
    return items[real].numpy() - 1, batch.y[real, 0].double().numpy()
