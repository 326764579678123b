"""Lists that are not all of one kind: maximal marginal relevance, Carbonell and Goldstein, SIGIR 1998."""

from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.interval import Interval, interval
from innerloop.core.learner import Learner
from innerloop.core.objectives import normalize, weights
from innerloop.core.types import Params, Sampler

_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""At which a curve of what diversity costs is drawn, of lists of ten."""
_TOP = 10
_POOL = 10
"""So many times the length of the list are chosen from."""


def diverse(scores: Tensor, vectors: Tensor, top: int, weight: float) -> list[int]:
    """Positions of a list, each the best of `(1 - weight) score - weight alike`, with how alike it is to one before it.

    Scores are brought to 0 to 1 over the best ten times as many as the list is long, among which it is chosen.

    Args:
        scores: [n], higher is better.
        vectors: [n, d] what the cosine of two candidates is of.
        top: Length of the list.
        weight: 0 is the order of the scores.

    Raises:
        InputError: The weight is not from 0 to 1.
    """
    if not 0 <= weight <= 1:
        raise InputError(f"diversity is from 0 to 1, got {weight:g}")
    pool = scores.argsort(descending=True, stable=True)[: _POOL * top]
    if not weight:
        return pool[:top].tolist()
    units, best = normalize(vectors[pool].double()), scores[pool].double()
    worth = (best - best.min()) / (best.max() - best.min()).clamp_min(1e-12)
    nearest, chosen, open_ = torch.zeros_like(worth), list[int](), torch.ones_like(worth, dtype=torch.bool)
    for _ in range(min(top, len(pool))):
        one = int(((1 - weight) * worth - weight * nearest).masked_fill(~open_, -torch.inf).argmax())
        chosen.append(one)
        open_[one] = False
        cosine = units @ units[one]
        nearest = cosine if len(chosen) == 1 else torch.maximum(nearest, cosine)
    return pool[chosen].tolist()


class Cost(NamedTuple):
    """What lists of a weight are worth, and how much of one kind they are."""

    weight: float
    ndcg: Interval
    alike: float
    """Mean cosine of the items of a list."""


@torch.no_grad()
def costs(learner: Learner, params: Params, sampler: Sampler, tasks: int) -> list[Cost]:
    """What diversity costs, on tasks whose query is all candidates; empty for a learner without an encoder.

    Args:
        learner: Whose encoder's features say how alike candidates are; the last, what is known of the item alone, is
            left out.
        params: Its meta-parameters.
        sampler: Of the tasks.
        tasks: How many.
    """
    encoder = getattr(learner, "encoder", None)
    if encoder is None:
        return []
    discounts, rows = 1 / torch.log2(torch.arange(2, _TOP + 2, dtype=torch.float64)), list[list[tuple[float, float]]]()
    for i in range(tasks):
        support, query = tree.slice(sampler.episodes(i, 1), 0)
        open_ = weights(query.y, query.mask)
        scores = learner.predict(params, learner.adapt(params, support), query.x)[open_, 0]
        vectors = encoder.apply(tree.part(params, "encoder"), query.x)[:, :-1]
        vectors, worth = (vectors - vectors.mean(0))[open_], query.y[open_, 0].double()
        best = float(worth.sort(descending=True).values[:_TOP] @ discounts[: len(worth)])
        lists = [diverse(scores, vectors, _TOP, weight) for weight in _WEIGHTS]
        rows.append([(float(worth[one] @ discounts[: len(one)]) / best, alike(vectors[one])) for one in lists])
    numbers = torch.tensor(rows, dtype=torch.float64)  # [tasks, weights, 2]
    return [Cost(w, interval(numbers[:, k, 0]), float(numbers[:, k, 1].mean())) for k, w in enumerate(_WEIGHTS)]


def alike(vectors: Tensor) -> float:
    """Mean cosine of all pairs of a list, [n, d]; NaN of fewer than two."""
    units, n = normalize(vectors.double()), len(vectors)
    return float(((units @ units.T).sum() - units.square().sum()) / (n * (n - 1))) if n > 1 else float("nan")
