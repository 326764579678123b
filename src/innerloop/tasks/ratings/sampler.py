"""Tasks of ratings: a user is a task, and what it rated is told in part, the support, and asked for in part."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Count, Natural, Share
from innerloop.core.types import Batch, Episode
from innerloop.tasks import draws
from innerloop.tasks.ratings.encoding import UNKNOWN, Encoding, Rows, encoded
from innerloop.tasks.ratings.splits import SPLITS, TRAIN, Roles
from innerloop.tasks.ratings.table import Ratings, Whole

_DRAW, _WHO, _SHOTS, _ORDER, HIDE = 0x2A71, 1, 2, 3, 4


@dataclass(frozen=True, kw_only=True, eq=False)
class RatingSampler(Checked):
    """Ragged tasks under masks: up to `shots` ratings of a user are told, and others of it asked for.

    Meta-training draws a user for every task. In the other splits every user with enough ratings is a task, once in
    `len(sampler)` episodes.
    """

    table: Ratings
    roles: Roles
    """[rows] as of `splits.roles`."""
    split: Literal["train", "validation", "test"] = "train"
    shots: Count = 10
    """Ratings that are told."""
    fewest_shots: Natural | None = None
    """From so many to `shots`; None: always `shots`."""
    queries: Count | None = None
    """At most so many are asked for; None: all others."""
    at_least: Count = 15
    """Users with fewer ratings are no task."""
    by: Literal["random", "time"] = "random"
    """How told and asked ones are told apart; time: the earliest are told."""
    hide: Share = 0.0
    """Share of items that are taken for unknown ones, so that what stands for these is learned."""
    seed: int = 0
    who: str = "user"
    """What a task is, for records."""

    def __post_init__(self) -> None:
        if self.fewest_shots is not None and self.fewest_shots > self.shots:
            raise InputError(f"fewest_shots must be at most shots={self.shots}, got {self.fewest_shots}")
        if self.at_least <= self.shots:
            raise InputError(
                f"at_least must be more than shots={self.shots}, got {self.at_least}: a rating must be left to ask for"
            )
        if self.by == "time" and self.table.times is None:
            raise InputError(f"{self.table.name} has no times: add a column time, or tell ratings apart at random")
        if not len(self):
            raise InputError(
                f"no {self.who} of the {self.split} split of {self.table.name} has {self.at_least} "
                f"{'known items' if self.table.behaviour else 'ratings'}: ask for fewer shots, or lower at_least"
            )

    def __len__(self) -> int:
        return len(self._tasks)

    @cached_property
    def encoding(self) -> Encoding:
        """What meta-training's ratings say of items and features."""
        return encoded(self.table, self.roles == TRAIN)

    @cached_property
    def _tasks(self) -> list[Whole]:
        """Rows of every user that is a task."""
        return [group for group in self.of_users() if len(group) >= self.at_least]

    def of_users(self) -> list[Whole]:
        """Rows of every user of the split; in order of time where that tells them apart."""
        rows = np.flatnonzero(self.roles == SPLITS[self.split])
        if self.by == "time" and self.table.times is not None:
            rows = rows[np.argsort(self.table.times[rows], kind="stable")]
        rows = rows[np.argsort(self.table.users[rows], kind="stable")]
        users = self.table.users[rows]
        return np.split(rows, np.flatnonzero(np.diff(users)) + 1)

    @cached_property
    def _rows(self) -> Rows:
        """Inputs of every rating of the table that is in this split."""
        own = self.table.values if self.split == "train" else None
        at = np.flatnonzero(self.roles == SPLITS[self.split])
        part = self.encoding.rows(self.table.users[at], self.table.items[at], None if own is None else own[at])
        whole = {name: np.zeros((len(self.table), *v.shape[1:]), v.dtype) for name, v in part.items()}
        for name, values in part.items():
            whole[name][at] = values
        return whole

    def episodes(self, first: int, count: int) -> Episode:
        """Episodes `first .. first + count - 1`, stacked: y [count, n, 1], and x a dict, see `encoding.Rows`."""
        told, rest, key, apart = self._drawn(first, count)
        return Episode(self._batch(told, self.shots, key), self._batch(rest, self._most, apart))

    def _drawn(self, first: int, count: int) -> tuple[list[Whole], list[Whole], draws.Keys, draws.Keys]:
        """Rows of what is told and of what is asked, of each task, and the keys of both."""
        key = draws.keys(self.seed, first, count)
        apart = draws.fold(key, _DRAW)
        who = draws.between(draws.fold(apart, _WHO), 0, len(self) - 1)
        if self.split != "train":
            who = np.arange(first, first + count) % len(self)
        tasks = [self._ordered(self._tasks[w], apart[i : i + 1]) for i, w in enumerate(who.tolist())]
        shots = np.full(count, self.shots)
        if self.fewest_shots is not None:
            shots = draws.between(draws.fold(apart, _SHOTS), self.fewest_shots, self.shots)
        told = [rows[:s] for rows, s in zip(tasks, shots.tolist(), strict=True)]
        rest = [rows[s:][: self._most] for rows, s in zip(tasks, shots.tolist(), strict=True)]
        return told, rest, key, apart

    @cached_property
    def _most(self) -> int:
        """The most rows that are asked for."""
        most = max(len(rows) for rows in self._tasks) - (self.shots if self.fewest_shots is None else self.fewest_shots)
        return most if self.queries is None else min(self.queries, most)

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        names = ("split", "shots", "fewest_shots", "queries", "at_least", "by", "hide", "seed")
        about: dict[str, object] = {"kind": "ratings", "dataset": self.table.name, "task": self.who}
        about |= {name: getattr(self, name) for name in names} | {"score": "mae"}
        parts = np.bincount(self.roles + 1, minlength=4)[1:].tolist()
        return about | {"ratings": parts, "tasks": len(self), "draws": draws.VERSION, "data": self.table.digest}

    def inputs(self, task: int) -> Rows:
        """Inputs of all ratings of a task."""
        return {name: values[self._tasks[task]] for name, values in self._rows.items()}

    def rows(self, task: int) -> Whole:
        """Rows of the table that a task is made of."""
        return self._tasks[task]

    def user(self, task: int) -> int:
        """The position, among the table's users, of the one that a task is about."""
        return int(self.table.users[self._tasks[task][0]])

    def _ordered(self, rows: Whole, key: draws.Keys) -> Whole:
        return rows if self.by == "time" else rows[draws.permutation(draws.fold(key, _ORDER), len(rows))[0]]

    def _batch(self, tasks: list[Whole], length: int, key: draws.Keys) -> Batch:
        """Rows of several tasks side by side, padded with zeros."""
        mask = np.arange(length) < np.array([len(rows) for rows in tasks])[:, None]
        at = np.zeros((len(tasks), length), np.int64)
        for i, rows in enumerate(tasks):
            at[i, : len(rows)] = rows
        x = {name: values[at] * _along(mask, values[at]) for name, values in self._rows.items()}
        if self.hide:
            hidden = draws.uniform(draws.fold(key, HIDE), length) < self.hide
            x["item"] = np.where(hidden, UNKNOWN, x["item"])
        y = (self.table.values[at] * mask).astype(np.float32)[..., None]
        tensors = {name: from_numpy(values) for name, values in x.items()}
        return Batch(tensors, from_numpy(y), from_numpy(mask), key=draws.tensor(key))


def _along(mask: np.ndarray, values: np.ndarray) -> np.ndarray:
    return mask.reshape(*mask.shape, *(1,) * (values.ndim - 2))
