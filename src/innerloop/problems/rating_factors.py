"""Matrix factorisation, to be compared with: alternating ridge regressions of what means leave over.

A new user is folded in: the factors of items stay, and its own are one more ridge regression (Hu, Koren, Volinsky 2008,
for ratings that are there).
"""

from typing import NamedTuple

import numpy as np

from innerloop.tasks.ratings.table import Numbers, Ratings, Whole

_DECAY = 5.0
"""Weight of the squares of factors."""
_ROUNDS = 10
"""Rounds of users, then items."""


class Factors(NamedTuple):
    """Items as vectors, beside their means."""

    items: Numbers  # [items, k], the last column is 1: a user's offset
    decay: float

    def folded(self, items: Whole, left: Numbers) -> Numbers:
        """[items] what a new user's ratings add to the means of all items.

        Args:
            items: [n] positions of those that are rated.
            left: [n] ratings without the means of their items.
        """
        return self.items @ _ridge(self.items[items], left, self.decay)


def factorised(table: Ratings, rows: np.ndarray, means: Numbers, size: int = 8, seed: int = 0) -> Factors:
    """Factors of the items from some of the ratings.

    Args:
        table: All ratings.
        rows: [rows] bool, those that are learned from.
        means: [items] of the items.
        size: Numbers that stand for an item.
        seed: Of the first factors.
    """
    users, items = table.users[rows], table.items[rows]
    left = table.values[rows] - means[items]
    drawn = np.random.default_rng(seed).normal(0, 0.1, (len(means), size))
    of_items = np.concatenate([drawn, np.ones((len(means), 1))], 1)
    by_user, by_item = _groups(users), _groups(items)
    of_users = np.zeros((len(table.user_names), size + 1))
    for _ in range(_ROUNDS):
        for user, own in by_user.items():
            of_users[user] = _ridge(of_items[items[own]], left[own], _DECAY)
        for item, own in by_item.items():
            rest = left[own] - of_users[users[own], -1]
            of_items[item, :-1] = _ridge(of_users[users[own], :-1], rest, _DECAY)
    return Factors(of_items, _DECAY)


def _groups(of: Whole) -> dict[int, Whole]:
    order = np.argsort(of, kind="stable")
    cuts = np.flatnonzero(np.diff(of[order])) + 1
    return {int(of[group[0]]): group for group in np.split(order, cuts)}


def _ridge(x: Numbers, y: Numbers, decay: float) -> Numbers:
    return np.linalg.solve(x.T @ x + decay * np.eye(x.shape[1]), x.T @ y).astype(np.float64)
