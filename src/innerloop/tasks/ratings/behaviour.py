"""Tasks of clicks, plays, purchases: what a user took is told in part, and all other items are ranked.

Nobody says what is not liked. Items that a user did not take are drawn by how often others took them, so that learners
have something to tell the taken ones from; `log_q`, the logarithm of how often each is expected in such a draw, lets
`core.objectives.sampled_softmax` correct for it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from innerloop.core.aligned import from_numpy
from innerloop.core.ranges import Count
from innerloop.core.types import Batch, Episode
from innerloop.tasks import draws
from innerloop.tasks.ratings.encoding import UNKNOWN, Encoding, Rows
from innerloop.tasks.ratings.sampler import HIDE, RatingSampler
from innerloop.tasks.ratings.table import Numbers, Whole

_ABSENT, _ASKED = 6, 7
_POWER = 0.75
"""Exponent of how many took an item, which gives how often it is drawn (Mikolov et al. 2013)."""


class Absent(NamedTuple):
    """Items that somebody did not take."""

    items: Whole  # [n]
    log_q: Numbers  # [n] logarithm of how often each is expected among them


def chances(encoding: Encoding) -> Numbers:
    """[items] how likely each is drawn; 0 for those that nobody in meta-training took."""
    weights = encoding.counts.astype(np.float64) ** _POWER
    return weights / weights.sum()


def absent(chance: Numbers, taken: Whole, count: int, key: draws.Keys) -> Absent:
    """Items that are not among the taken ones, drawn with replacement.

    Args:
        chance: [items] how likely each is.
        taken: Positions of those that are left out.
        count: How many.
        key: [1] key of the draw.
    """
    left = chance.copy()
    left[taken] = 0
    total = left.sum()
    if not total:  # everything is taken: any item, which tells nothing
        left, total = chance, 1.0
    ends = left.cumsum() / total
    items = np.searchsorted(ends, draws.uniform(key, count)[0], side="right").clip(max=len(chance) - 1)
    return Absent(items, np.log(count * left[items].clip(1e-300) / total))


@dataclass(frozen=True, kw_only=True, eq=False)
class BehaviourSampler(RatingSampler):
    """Ragged tasks: a support of up to `shots` taken items and some that are not, and what else was taken as the query.

    In meta-training the query has a draw of other items as well; in tests it has all of them, one row each in the order
    of the table, whose mask leaves out what was told. `y` is 1 for what was taken and 0 for the others.
    """

    negatives: Count = 64
    """Items that a support has besides the taken ones."""
    asked_negatives: Count = 128
    """The same for queries of meta-training."""

    @cached_property
    def _tasks(self) -> list[Whole]:
        rows = [group[self.encoding.candidates[self.table.items[group]]] for group in self.of_users()]
        return [group for group in rows if len(group) >= self.at_least]

    @cached_property
    def _chances(self) -> Numbers:
        return chances(self.encoding)

    def episodes(self, first: int, count: int) -> Episode:
        """Episodes `first .. first + count - 1`, stacked."""
        told, rest, key, apart = self._drawn(first, count)
        taken = [self.table.items[rows] for rows in told]
        support = self._with_absent(told, self.shots, taken, self.negatives, draws.fold(key, _ABSENT), key)
        if self.split != "train":
            return Episode(support, self._all(told, rest, apart))
        everything = [np.concatenate([a, self.table.items[rows]]) for a, rows in zip(taken, rest, strict=True)]
        apart_key = draws.fold(apart, _ASKED)
        return Episode(support, self._with_absent(rest, self._most, everything, self.asked_negatives, apart_key, apart))

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        own = {"kind": "behaviour", "score": "ndcg", "negatives": self.negatives}
        return super().describe() | own | {"candidates": int(self.encoding.candidates.sum())}

    def _with_absent(
        self, tasks: list[Whole], length: int, taken: list[Whole], count: int, drawn: draws.Keys, key: draws.Keys
    ) -> Batch:
        """Taken items, padded to a length, and then so many others."""
        part = self._batch(tasks, length, key)
        assert isinstance(part.x, dict) and part.mask is not None
        n, users = len(tasks), [int(self.table.users[rows[0]]) for rows in tasks]
        others = [absent(self._chances, taken[i], count, drawn[i : i + 1]) for i in range(n)]
        rows = self._of_items(users, np.stack([one.items for one in others]))
        if self.hide:
            hidden = draws.uniform(draws.fold(drawn, HIDE), count) < self.hide
            rows["item"] = np.where(hidden, UNKNOWN, rows["item"])
        x = {name: np.concatenate([part.x[name].numpy(), rows[name]], 1) for name in rows}
        x["log_q"] = np.concatenate([np.zeros((n, length)), np.stack([one.log_q for one in others])], 1)
        x["log_q"] = x["log_q"].astype(np.float32)
        y = np.concatenate([part.y.numpy(), np.zeros((n, count, 1), np.float32)], 1)
        mask = np.concatenate([part.mask.numpy(), np.ones((n, count), bool)], 1)
        tensors = {name: from_numpy(values) for name, values in x.items()}
        return Batch(tensors, from_numpy(y), from_numpy(mask), key=part.key)

    def _all(self, told: list[Whole], rest: list[Whole], key: draws.Keys) -> Batch:
        """All items, those that were taken and not told among them."""
        n, count = len(told), len(self.encoding.candidates)
        users = [int(self.table.users[rows[0]]) for rows in told]
        x = self._of_items(users, np.tile(np.arange(count), (n, 1)))
        x["log_q"] = np.zeros((n, count), np.float32)
        y, mask = np.zeros((n, count, 1), np.float32), np.tile(self.encoding.candidates, (n, 1))
        for i in range(n):
            y[i, self.table.items[rest[i]], 0] = 1
            mask[i, self.table.items[told[i]]] = False
        tensors = {name: from_numpy(values) for name, values in x.items()}
        return Batch(tensors, from_numpy(y), from_numpy(mask), key=draws.tensor(key))

    def _of_items(self, users: list[int], items: Whole) -> Rows:
        """Inputs of [tasks, n] items that a user of each task did not take."""
        who = np.repeat(np.array(users), items.shape[1])
        rows = self.encoding.rows(who, items.reshape(-1))
        return {name: values.reshape(*items.shape, *values.shape[1:]) for name, values in rows.items()}
