"""Ratings as inputs of a network, by what is known from meta-training alone: vocabularies, and the items' means.

No number here comes from a rating that is not meta-training's, and none of a meta-training row from that row itself:
its own rating is left out of its item's mean. Items, and values of features, that meta-training does not have share a
row of their own, 0, which is learned by hiding a few items.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from innerloop.core.errors import InputError
from innerloop.tasks.ratings.table import Features, Numbers, Ratings, Whole

SHRINK = 5.0
"""Ratings of the mean that an item's mean is shrunk by."""
UNKNOWN = 0
COMPONENTS = 32
"""Numbers that stand for the texts of an item, at most."""
Rows = dict[str, NDArray]
"""Inputs by name, an array with a row each: `item` [n], `mean` [n], `categories` [n, c], `several` [n, s, m],
`numbers` [n, k], `texts` [n, t]; what there is none of is left out."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Numbers of the values of several columns, from 1 up; the first of each column is for what is not known."""

    starts: tuple[int, ...]
    values: tuple[dict[str, int], ...]

    @property
    def size(self) -> int:
        """How many numbers there are, 0 for nothing among them."""
        return 1 + len(self.starts) + sum(map(len, self.values))

    def number(self, column: int, value: str) -> int:
        """The number of a value."""
        return self.values[column].get(value, self.starts[column])


@dataclass(frozen=True, eq=False)
class Encoding:
    """What meta-training knows, by which any user and item becomes inputs."""

    centre: float
    """The mean of its ratings."""
    median: float
    counts: Whole  # [items]
    sums: Numbers  # [items] of ratings
    user_counts: Whole  # [users] of meta-training's ratings
    user_sums: Numbers  # [users]
    single: Vocabulary
    several: Vocabulary
    moments: Numbers  # [2, columns] mean and deviation of the numbers
    users: Rows
    """What is known of each user by its features."""
    items: Rows
    behaviour: bool = False
    """Whether the `mean` of an item is the logarithm of how many took it, around that of the average one."""
    somebody: Rows = field(default_factory=dict)
    """What is known, in one row each, of whoever is not among the users; what is left out is not known."""

    @property
    def item_count(self) -> int:
        """Rows of the table of items, the unknown one first."""
        return len(self.counts) + 1

    @property
    def candidates(self) -> NDArray[np.bool_]:
        """[items] what can be recommended: what meta-training knows, and any item whose texts are read."""
        known = self.counts > 0
        return np.ones_like(known) if "texts" in self.items else known

    def _of_users(self, name: str, users: Whole | None, count: int) -> NDArray:
        known = self.users[name]
        if users is not None:
            return known[users]
        if name in self.somebody:
            return self.somebody[name].repeat(count, 0)
        unknown = np.zeros((count, *known.shape[1:]), known.dtype)
        return unknown + (np.array(self.single.starts[: known.shape[1]]) if name == "categories" else 0)

    def knowing(self, somebody: Features) -> Self:
        """The same, where this is known of whoever is not among the users: columns as of users, with one row."""
        return replace(self, somebody=_side(somebody, self.single, self.several, self.moments, (0, 0, 0)))

    def means(self, users: Whole | None, items: Whole, own: Numbers | None = None) -> tuple[Numbers, Whole]:
        """The items' means, shrunk to that of all ratings, and of how many ratings each is.

        Args:
            users: [n] positions.
            items: [n] positions.
            own: [n] the ratings of these pairs where they are meta-training's: they, and all of the same user, are left
                out. None: they are not.
        """
        sums, counts, centre = self.sums[items], self.counts[items], np.full(len(items), self.centre)
        if own is not None and users is not None:
            sums, counts = sums - own, counts - 1
            others = self.user_counts.sum() - self.user_counts[users]
            centre = (self.user_sums.sum() - self.user_sums[users]) / np.maximum(others, 1)
        if self.behaviour:
            average = self.counts.sum() / max(1, np.count_nonzero(self.counts))
            return np.log((sums + 0.5) / (average + 0.5)), counts
        return (sums + SHRINK * centre) / (counts + SHRINK), counts

    def rows(self, users: Whole | None, items: Whole, own: Numbers | None = None) -> Rows:
        """Inputs of pairs of users and items; arguments as of `means`. Users None: of `somebody`."""
        means, counts = self.means(users, items, own)
        known = np.log1p(counts)[:, None] / 4.0  # of the size of the other numbers
        rows: Rows = {"item": np.where(counts > 0, items + 1, UNKNOWN), "mean": means.astype(np.float32)}
        if "texts" in self.items:
            rows["texts"] = self.items["texts"][items]
        for name in ("categories", "several", "numbers"):
            of = [self._of_users(name, users, len(items))] if name in self.users else []
            of += [self.items[name][items]] if name in self.items else []
            of += [known.astype(np.float32)] if name == "numbers" else []
            if of:
                width = max(a.shape[-1] for a in of) if name == "several" else 0
                rows[name] = np.concatenate([_widened(a, width) for a in of], 1)
        return rows


def encoded(table: Ratings, known: NDArray[np.bool_]) -> Encoding:
    """What a part of the ratings says.

    Args:
        table: All ratings.
        known: [rows] those of meta-training.

    Raises:
        InputError: None is.
    """
    if not known.any():
        raise InputError(f"{table.name} has no rating to meta-train on: it has {len(table)}, which is too few")
    values, users, items = table.values[known], table.users[known], table.items[known]
    sides = (table.user_features, np.unique(users)), (table.item_features, np.unique(items))
    single = _vocabulary((c, who) for f, who in sides for c in f.categories.values())
    several = _vocabulary((c, who) for f, who in sides for c in f.several.values())
    moments = _moments([(c, who) for f, who in sides for c in f.numbers.values()])
    offsets = _offsets(table.user_features)
    return Encoding(
        centre=float(values.mean()),
        median=float(np.median(values)),
        counts=np.bincount(items, minlength=len(table.item_names)),
        sums=_sums(items, values, len(table.item_names)),
        user_counts=np.bincount(users, minlength=len(table.user_names)),
        user_sums=_sums(users, values, len(table.user_names)),
        single=single,
        several=several,
        moments=moments,
        users=_side(table.user_features, single, several, moments, (0, 0, 0)),
        items=_side(table.item_features, single, several, moments, offsets) | _texts(table, np.unique(items)),
        behaviour=table.behaviour,
    )


def _sums(rows: Whole, values: Numbers, count: int) -> Numbers:
    return np.bincount(rows, values, count).astype(np.float64)


def _offsets(features: Features) -> tuple[int, int, int]:
    return len(features.categories), len(features.several), len(features.numbers)


def _vocabulary(columns: Iterable[tuple[Sequence, Whole]]) -> Vocabulary:
    starts, values, size = [], [], 1
    for cells, who in columns:
        words = (cells[i] if isinstance(cells[i], tuple) else (cells[i],) for i in who.tolist())
        known = sorted({word for each in words for word in each if word})
        starts.append(size)
        values.append({word: size + 1 + k for k, word in enumerate(known)})
        size += 1 + len(known)
    return Vocabulary(tuple(starts), tuple(values))


def _moments(columns: Sequence[tuple[Numbers, Whole]]) -> Numbers:
    moments = []
    for numbers, who in columns:
        seen = numbers[who]
        seen = seen[np.isfinite(seen)]
        deviation = float(seen.std()) if len(seen) else 0.0
        moments.append((float(seen.mean()) if len(seen) else 0.0, deviation if deviation > 0 else 1.0))
    return np.array(moments, np.float64).reshape(-1, 2).T


def _side(
    features: Features, single: Vocabulary, several: Vocabulary, moments: Numbers, first: tuple[int, int, int]
) -> Rows:
    """Features of users, or of items, whose columns begin at these of all."""
    rows: Rows = {}
    if features.categories:
        columns = enumerate(features.categories.values(), first[0])
        rows["categories"] = np.array([[single.number(k, cell) for cell in cells] for k, cells in columns]).T
    if features.several:
        longest = max(1, *(len(cell) for cells in features.several.values() for cell in cells))
        count = len(next(iter(features.several.values())))
        sets = np.zeros((count, len(features.several), longest), np.int64)
        for k, cells in enumerate(features.several.values()):
            for i, cell in enumerate(cells):
                sets[i, k, : len(cell)] = [several.number(first[1] + k, word) for word in cell]
        rows["several"] = sets
    if features.numbers:
        columns = enumerate(features.numbers.values(), first[2])
        scaled = [(numbers - moments[0, k]) / moments[1, k] for k, numbers in columns]
        rows["numbers"] = np.nan_to_num(np.stack(scaled, 1)).astype(np.float32)
    return rows


def _texts(table: Ratings, known: Whole) -> Rows:
    """[items, k] principal components of the rows of the items' texts, where there are any, as of these items."""
    if table.item_texts is None:
        return {}
    rows = table.item_texts - table.item_texts[known].mean(0)
    _, axes = np.linalg.eigh(rows[known].T @ rows[known])  # ascending
    reduced = rows @ axes[:, ::-1][:, :COMPONENTS]
    return {"texts": (reduced / max(float(reduced[known].std()), 1e-6)).astype(np.float32)}


def _widened(array: NDArray, width: int) -> NDArray:
    """The array with zeros behind its last axis."""
    missing = width - array.shape[-1] if width else 0
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)]) if missing > 0 else array
