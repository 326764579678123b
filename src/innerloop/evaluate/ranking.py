"""How good a ranking of all candidates is, in plain numbers, by `core.rankings`; and what finding an item is worth."""

from typing import Literal

import torch
from torch import Tensor

from innerloop.core import rankings
from innerloop.core.errors import InputError

Gain = Literal["linear", "exponential"]


def gains(ratings: Tensor, gain: Gain = "exponential") -> Tensor:
    """What finding an item of a rating is worth: the rating, or `2^rating - 1`."""
    return ratings if gain == "linear" else torch.exp2(ratings) - 1


def expected(scores: Tensor, worth: Tensor) -> Tensor:
    """[n] mean worth at every position, best score first, over all orders of equal scores; see `rankings.expected`.

    Raises:
        InputError: A score is not finite.
    """
    return rankings.expected(_finite(scores), worth)


def ndcg(scores: Tensor, worth: Tensor, k: int) -> float:
    """Discounted worth of the first k, as a share of that of the best order; NaN where nothing is worth anything.

    Raises:
        InputError: A score is not finite.
    """
    return float(rankings.ndcg(_finite(scores), worth, k))


def recall(scores: Tensor, relevant: Tensor, k: int) -> float:
    """Share of the relevant candidates, [n] bool, that are among the first k; NaN where there is none.

    Raises:
        InputError: A score is not finite.
    """
    return float(rankings.recall(_finite(scores), relevant, k))


def _finite(scores: Tensor) -> Tensor:
    if not bool(scores.isfinite().all()):
        raise InputError("a ranking needs finite scores")
    return scores
