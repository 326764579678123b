"""The rows that stand beside a learner in a table of ratings, or of what users took: what needs no meta-learning."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from innerloop.problems.alternating import alternating
from innerloop.problems.base import Baseline
from innerloop.problems.item_baselines import FoldedIn, ItemToItem, Popularity, TextRidge, factors, item_to_item
from innerloop.problems.rating_baselines import each
from innerloop.problems.rating_factors import factorised
from innerloop.tasks.ratings.sampler import RatingSampler

_EASE, _EASE_OF_RATINGS, _MOST = 300.0, 100.0, 20_000
"""Decays, chosen on meta-validation users of three folds of movielens; and the most users whose matrix is inverted."""


def of_ratings(sampler: RatingSampler, known: NDArray[np.bool_], seed: int) -> Iterator[Baseline]:
    """Means, matrix factorisation with the new user folded in, items by items, and items by their texts.

    Args:
        sampler: Of the test.
        known: [rows] of its table that are meta-training's.
        seed: Of the first factors.
    """
    encoding, table = sampler.encoding, sampler.table
    for label, baseline in each(encoding.centre, encoding.median):
        yield Baseline(label, baseline, {}, baseline.of)
    means, _ = encoding.means(None, np.arange(len(encoding.counts)))
    of = factorised(table, known, means, seed=seed)
    yield Baseline("factors", FoldedIn(decay=of.decay), factors(of), "matrix factorisation, folded in")
    if len(np.unique(table.users[known])) <= _MOST:
        params = item_to_item(table, known, encoding, _EASE_OF_RATINGS)
        yield Baseline("ease", ItemToItem(), params, "items by items (EASE)")
    if "texts" in encoding.items:
        yield Baseline("texts", TextRidge(), {}, "items by their texts (ridge)")


def of_behaviour(sampler: RatingSampler, known: NDArray[np.bool_], seed: int) -> Iterator[Baseline]:
    """Popularity, items by items, `implicit`'s alternating least squares, and texts; arguments as of `of_ratings`."""
    encoding, table = sampler.encoding, sampler.table
    yield Baseline("popularity", Popularity(behaviour=True), {}, "popularity")
    if len(np.unique(table.users[known])) <= _MOST:
        params = item_to_item(table, known, encoding, _EASE)
        yield Baseline("ease", ItemToItem(behaviour=True), params, "items by items (EASE)")
    if (made := alternating(table, known, seed)) is not None:
        yield Baseline("als", *made, "implicit's ALS, folded in")
    if "texts" in encoding.items:
        yield Baseline("texts", TextRidge(behaviour=True), {}, "popularity and texts (ridge)")
