"""How good a ranking of candidates is, when ties are broken at random: the average over all ways, in closed form.

After McSherry and Najork 2008: candidates of equal score share their positions, so that each of these has their mean
gain. A model that gives one score to everything is then no better than chance. All is fit for `vmap`.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from innerloop.core.objectives import weights
from innerloop.core.score import Mean
from innerloop.core.types import Batch


def expected(scores: Tensor, worth: Tensor) -> Tensor:
    """[n] mean worth at every position, best score first, over all orders of equal scores.

    Args:
        scores: [n], higher is better.
        worth: [n], 0 where nothing is known of a candidate.
    """
    ordered, at = scores.sort(descending=True, stable=True)
    sums = F.pad(worth.double().gather(0, at).cumsum(0), (1, 0))  # [n + 1]
    turns = ordered[1:] != ordered[:-1]
    place = torch.arange(len(scores), device=scores.device)
    first = torch.where(F.pad(turns, (1, 0), value=True), place, 0).cummax(0).values
    last = torch.where(F.pad(turns, (0, 1), value=True), place, len(scores)).flip(0).cummin(0).values.flip(0)
    return (sums.gather(0, last + 1) - sums.gather(0, first)) / (last - first + 1)


def ndcg(scores: Tensor, worth: Tensor, k: int) -> Tensor:
    """[] discounted worth of the first k as a share of that of the best order; NaN where nothing is worth anything."""
    length = min(k, len(scores))
    discounts = 1 / torch.log2(torch.arange(2, length + 2, dtype=torch.float64, device=scores.device))
    best = worth.double().sort(descending=True).values[:length] @ discounts
    return expected(scores, worth)[:length] @ discounts / torch.where(best > 0, best, torch.nan)


def recall(scores: Tensor, relevant: Tensor, k: int) -> Tensor:
    """[] share of the relevant candidates, [n] bool, that are among the first k; NaN where there is none."""
    count = relevant.double().sum()
    return expected(scores, relevant)[:k].sum() / torch.where(count > 0, count, torch.nan)


@dataclass(frozen=True)
class Ranking(Mean):
    """A score of a task whose query is all candidates, `y` [n, 1] what each is worth, and the mask who is one."""

    higher_is_better = True
    percent: ClassVar[bool] = False
    k: ClassVar[int] = 10
    """Length of the list."""


class NormalisedGain(Ranking):
    """Discounted gain of the first 10 candidates, as a share of that of the best order."""

    name, title = "ndcg", "nDCG@10"

    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        scores, worth = _candidates(outputs, batch)
        return ndcg(scores, worth, self.k)[None].to(outputs.dtype)


class Recall(Ranking):
    """Share of the candidates that are worth anything among the first 10."""

    name, title = "recall", "recall@10"

    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        scores, worth = _candidates(outputs, batch)
        return recall(scores, worth > 0, self.k)[None].to(outputs.dtype)


def _candidates(outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """[n] scores, which are lowest where there is no candidate, and [n] worth."""
    rows = weights(batch.y, batch.mask)
    return torch.where(rows, outputs[:, 0], -torch.inf), torch.where(rows, batch.y[:, 0], 0.0)
