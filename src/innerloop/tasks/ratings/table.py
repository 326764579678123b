"""A table of ratings in whole numbers: who rated what, how, and when, with what is known of both."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from innerloop.core.errors import InputError

Whole = NDArray[np.int64]
Numbers = NDArray[np.float64]
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Features:
    """What is known of users, or of items: columns by name, each with a value for every one of them."""

    categories: dict[str, Sequence[str]] = field(default_factory=dict)
    """One value each; an empty text where it is not known."""
    several: dict[str, Sequence[tuple[str, ...]]] = field(default_factory=dict)
    """Several values each, such as genres."""
    numbers: dict[str, Numbers] = field(default_factory=dict)
    """NaN where it is not known."""
    texts: dict[str, Sequence[str]] = field(default_factory=dict)
    """What a network that reads makes rows of; empty where there is none."""

    @property
    def names(self) -> list[str]:
        """Names of all columns."""
        return [*self.categories, *self.several, *self.numbers, *self.texts]


class Scale(NamedTuple):
    """The lowest and the highest rating."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Ratings:
    """Rows of (user, item, rating, time); a pair of user and item comes once."""

    name: str
    """What records call the data."""
    users: Whole  # [rows] positions in `user_names`
    items: Whole  # [rows] positions in `item_names`
    values: Numbers  # [rows]
    times: Numbers | None = None
    """[rows] seconds, or any number that grows; None: not known."""
    user_names: tuple[str, ...]
    item_names: tuple[str, ...]
    titles: tuple[str, ...] = ()
    """What people call the items; empty: their names."""
    user_features: Features = Features()
    item_features: Features = Features()
    scale: Scale
    repeated: int = 0
    """Ratings that were left out because a later one of the same pair was there."""
    behaviour: bool = False
    """Whether rows are what somebody did, such as clicks: all values are 1, and what is not there says little."""
    item_texts: Rows | None = None
    """[items, d] what an encoder makes of the items' texts."""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def digest(self) -> str:
        """The first 16 hex digits of a hash of all that tasks are drawn from."""
        state = hashlib.sha256(repr((self.user_names, self.item_names, self.scale)).encode(errors="surrogatepass"))
        for array in (self.users, self.items, self.values, self.times):
            state.update(b"" if array is None else array.tobytes())
        for features in (self.user_features, self.item_features):
            for column in (*features.categories.items(), *features.several.items(), *features.texts.items()):
                state.update(repr(column).encode(errors="surrogatepass"))
            for name, numbers in features.numbers.items():
                state.update(name.encode() + numbers.tobytes())
        return state.hexdigest()[:16]

    def turned(self) -> Self:
        """The same ratings with items as those who rate: an item is a task, and its raters are told apart."""
        return replace(
            self,
            users=self.items,
            items=self.users,
            user_names=self.item_names,
            item_names=self.user_names,
            titles=(),
            user_features=self.item_features,
            item_features=self.user_features,
            item_texts=None,
        )

    @property
    def words(self) -> list[str]:
        """What there is to read of each item: its title, its texts, and the values of several categories."""
        columns = [self.titles or self.item_names, *self.item_features.texts.values()]
        columns += [[", ".join(cell) for cell in cells] for cells in self.item_features.several.values()]
        return [". ".join(filter(None, cells)) for cells in zip(*columns, strict=True)]

    def as_behaviour(self, least: float | None = None) -> Self:
        """What was rated so or higher, as rows of what people took; None: all of it."""
        kept = self.values >= (-np.inf if least is None else least)
        if not kept.any():
            raise InputError(f"no rating of {self.name} is {least:g} or higher: take a lower one")
        return replace(
            self,
            users=self.users[kept],
            items=self.items[kept],
            values=np.ones(int(kept.sum())),
            times=None if self.times is None else self.times[kept],
            scale=Scale(0.0, 1.0),
            behaviour=True,
        )

    def with_values(self, values: Numbers) -> Self:
        """The same pairs with other ratings."""
        return replace(self, values=values)


def tabled(
    name: str,
    users: Sequence[str],
    items: Sequence[str],
    values: Sequence[float],
    times: Sequence[float] | None,
    scale: Scale,
) -> Ratings:
    """Rows as a table; of several ratings of one pair the latest stays, without times the last.

    Args:
        name: What records call the data.
        users: Names, [rows].
        items: Names, [rows].
        values: Ratings, [rows].
        times: When, [rows]; None: not known.
        scale: Of the ratings.

    Raises:
        InputError: There is no row.
    """
    if not len(values):
        raise InputError(f"{name} has no rating: give at least one row of user, item and rating")
    user_names, user_rows = _numbered(users)
    item_names, item_rows = _numbered(items)
    when = np.arange(len(values), dtype=np.float64) if times is None else np.asarray(times, np.float64)
    order = np.lexsort((np.arange(len(when)), when))  # equal times: as they stand
    pairs = user_rows[order] * len(item_names) + item_rows[order]
    _, last = np.unique(pairs[::-1], return_index=True)
    kept = np.sort(order[::-1][last])
    return Ratings(
        name=name,
        users=user_rows[kept],
        items=item_rows[kept],
        values=np.asarray(values, np.float64)[kept],
        times=None if times is None else when[kept],
        user_names=user_names,
        item_names=item_names,
        scale=scale,
        repeated=len(values) - len(kept),
    )


def _numbered(names: Sequence[str]) -> tuple[tuple[str, ...], Whole]:
    index: dict[str, int] = {}
    rows = np.fromiter((index.setdefault(name, len(index)) for name in names), np.int64, len(names))
    return tuple(index), rows
