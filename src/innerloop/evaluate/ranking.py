"""How good a ranking of all candidates is, when ties are broken at random: the average over all ways, in closed form.

After McSherry and Najork 2008: candidates of equal score share their positions, so that each of these has their mean
gain. A model that gives one score to everything is then no better than chance.
"""

from typing import Literal

import torch
from torch import Tensor

from innerloop.core.errors import InputError

Gain = Literal["linear", "exponential"]


def gains(ratings: Tensor, gain: Gain = "exponential") -> Tensor:
    """What finding an item of a rating is worth: the rating, or `2^rating - 1`."""
    return ratings if gain == "linear" else torch.exp2(ratings) - 1


def expected(scores: Tensor, worth: Tensor) -> Tensor:
    """[n] mean worth at every position, best score first, over all orders of equal scores.

    Args:
        scores: [n], higher is better.
        worth: [n], 0 where nothing is known of a candidate.

    Raises:
        InputError: A score is not finite.
    """
    if not bool(scores.isfinite().all()):
        raise InputError("a ranking needs finite scores")
    _, group = torch.unique(-scores, return_inverse=True)
    counts = torch.bincount(group)
    means = torch.zeros(len(counts), dtype=torch.float64).index_add_(0, group, worth.double()) / counts
    return means.repeat_interleave(counts)


def ndcg(scores: Tensor, worth: Tensor, k: int) -> float:
    """Discounted worth of the first k, as a share of that of the best order; NaN where nothing is worth anything."""
    discounts = 1 / torch.log2(torch.arange(2, min(k, len(scores)) + 2, dtype=torch.float64))
    best = worth.double().sort(descending=True).values[: len(discounts)] @ discounts
    return float(expected(scores, worth)[: len(discounts)] @ discounts / best) if best > 0 else float("nan")


def recall(scores: Tensor, relevant: Tensor, k: int) -> float:
    """Share of the relevant candidates, [n] bool, that are among the first k; NaN where there is none."""
    count = int(relevant.sum())
    return float(expected(scores, relevant)[:k].sum() / count) if count else float("nan")
