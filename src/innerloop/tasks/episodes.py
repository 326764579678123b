"""Tasks drawn from a pool of classes: N ways, K shots, Q queries; episode `i` is a function of `(seed, i)` alone."""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.types import Batch, Episode
from innerloop.tasks import draws
from innerloop.tasks.pool import Pool

_DRAW = 0x5EED0D0A
"""Folded into an episode's key for what the sampler draws, apart from what learners fold (small numbers)."""
_QUERY = 0x0A0EEE1


class Draw(NamedTuple):
    """Which classes and examples make up some episodes; -1 where there is none."""

    classes: Tensor
    """[count, ways] int64, indices into the pool's classes, in the order of the labels."""
    support: Tensor
    """[count, ways, shots] int64, indices into the instances of each class."""
    query: Tensor
    """[count, ways, queries] int64, likewise, before they are shuffled."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EpisodeSampler:
    """Few-shot classification tasks: labels are the order in which an episode's classes were drawn.

    A range of ways or shots gives uneven tasks: the number of ways is drawn for each episode, that of shots for each
    of its classes, and what is missing up to the high value is padded with zeros, label -1 and a False in `mask`.

    Raises:
        InputError: The pool has too few classes, or a class too few examples.
    """

    pool: Pool
    ways: int | tuple[int, int]
    """How many classes; a pair is an inclusive range."""
    shots: int | tuple[int, int]
    """How many support examples of each class; a pair is an inclusive range."""
    queries: int
    """How many query examples of each class."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, least in (("ways", self.ways, 1), ("shots", self.shots, 1), ("queries", self.queries, 1)):
            low, high = _range(value)
            if not least <= low <= high:
                raise InputError(f"{name} must be at least {least}, or a range (low, high) of such; got {value}")
        ways, shots = _range(self.ways)[1], _range(self.shots)[1]
        if ways > len(self.pool):
            raise InputError(
                f"{ways} ways need {ways} classes; {self.pool.dataset} ({self.pool.split}) has {len(self.pool)}. "
                "Lower the ways or give more classes"
            )
        need, least = shots + self.queries, int(self.pool.counts.argmin())
        if int(self.pool.counts[least]) < need:
            raise InputError(
                f"{shots} shots and {self.queries} queries need {need} examples of every class; "
                f"'{self.pool.names[least]}' has {int(self.pool.counts[least])}"
            )

    def episodes(self, first: int, count: int) -> Episode:
        """Episodes `first .. first + count - 1`, stacked.

        Returns:
            Support x [count, ways * shots, ...] in the order of the labels, query x [count, ways * queries, ...]
            shuffled, both float32 in [0, 1] for pictures; y int64; `classes` [count, ways]; `mask` only where tasks
            may be uneven. All on the device of the pool's data.
        """
        key, drawn = draws.keys(self.seed, first, count), self.draw(first, count)
        classes, support, query = (part.numpy() for part in drawn)
        ways, queries = classes.shape[1], self.queries
        label = np.where(classes < 0, -1, np.arange(ways))[..., None]  # [count, ways, 1]
        shuffle = draws.permutation(draws.fold(draws.fold(key, _DRAW), 3), ways * queries)
        return Episode(
            self._batch(classes[..., None], label, support, None, key),
            self._batch(classes[..., None], label, query, shuffle, draws.fold(key, _QUERY)),
        )

    def draw(self, first: int, count: int) -> Draw:
        """What `episodes(first, count)` consists of, as indices into the pool."""
        key = draws.fold(draws.keys(self.seed, first, count), _DRAW)
        (least_ways, ways), (least_shots, shots) = _range(self.ways), _range(self.shots)
        position = np.arange(ways)
        classes = draws.choose(draws.fold(key, 0), len(self.pool), ways)
        each = draws.fold(draws.fold(key, 1)[:, None], position)  # [count, ways] keys
        room, k = self.pool.data.shape[1], shots + self.queries
        instances = draws.choose(each, room, k, self._counts[classes] if self._ragged else None)
        support, query = instances[..., :shots], instances[..., shots:]
        if self._uneven:
            absent = position >= draws.between(draws.fold(key, 4), least_ways, ways)[:, None]
            classes, query = np.where(absent, -1, classes), np.where(absent[..., None], -1, query)
            given = draws.between(draws.fold(draws.fold(key, 2)[:, None], position), least_shots, shots)
            support = np.where(absent[..., None] | (np.arange(shots) >= given[..., None]), -1, support)
        return Draw(*(torch.from_numpy(np.ascontiguousarray(part)) for part in (classes, support, query)))

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`; a range is a list [low, high]."""
        return {
            "kind": "episodes",
            "dataset": self.pool.dataset,
            "split": self.pool.split,
            "class_hash": self.pool.class_hash,
            "classes": len(self.pool),
            "shape": list(self.pool.shape),
            "ways": _plain(self.ways),
            "shots": _plain(self.shots),
            "queries": self.queries,
            "seed": self.seed,
        }

    @property
    def _uneven(self) -> bool:
        return any(low != high for low, high in map(_range, (self.ways, self.shots)))

    @functools.cached_property
    def _counts(self) -> np.ndarray:
        return self.pool.counts.numpy()

    @functools.cached_property
    def _ragged(self) -> bool:
        """Whether classes have different numbers of examples."""
        return bool((self._counts < self.pool.data.shape[1]).any())

    def _batch(
        self, owner: np.ndarray, label: np.ndarray, instance: np.ndarray, order: np.ndarray | None, key: np.ndarray
    ) -> Batch:
        """Rows by their class and instance, in the order given.

        Args:
            owner: [count, ways, 1] classes; -1: there is none.
            label: [count, ways, 1] likewise.
            instance: [count, ways, n]; -1: there is none.
            order: [count, ways * n] a permutation, or None.
            key: [count] of the batches.
        """
        real = instance >= 0
        rows = np.where(real, owner * self.pool.data.shape[1] + instance, 0).reshape(len(owner), -1)
        y = np.where(real, label, -1).reshape(rows.shape)
        if order is not None:
            rows, y = np.take_along_axis(rows, order, 1), np.take_along_axis(y, order, 1)
        x = self.pool.rows(torch.from_numpy(rows))
        parts = (y, y >= 0, owner[..., 0] >= 0)
        labels, mask, present = (torch.from_numpy(part).to(x.device) for part in parts)
        if not self._uneven:
            return Batch(x, labels, None, present, draws.tensor(key).to(x.device))
        x[~mask] = 0
        return Batch(x, labels, mask, present, draws.tensor(key).to(x.device))


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchSampler:
    """Plain supervised training as one task: no support, and a minibatch with the pool's class numbers as query.

    Rows are drawn independently and uniformly from all examples (with replacement), so that batch `i` needs no epoch.
    """

    pool: Pool
    batch_size: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {self.batch_size}")

    def episodes(self, first: int, count: int) -> Episode:
        """Batches `first .. first + count - 1`, stacked: support x [count, 0, ...], query x [count, size, ...]."""
        key = draws.keys(self.seed, first, count)
        classes, instances = self.draw(first, count)
        x = self.pool.rows(classes * self.pool.data.shape[1] + instances)
        y, present = classes.to(x.device), torch.ones(count, len(self.pool), dtype=torch.bool, device=x.device)
        own, other = (draws.tensor(k).to(x.device) for k in (key, draws.fold(key, _QUERY)))
        return Episode(Batch(x[:, :0], y[:, :0], classes=present, key=own), Batch(x, y, classes=present, key=other))

    def draw(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """The class and the instance of every row, both [count, batch_size]."""
        key = draws.fold(draws.keys(self.seed, first, count), _DRAW)
        ends = self.pool.counts.cumsum(0)
        row = torch.from_numpy(draws.bits(key, self.batch_size).astype(np.int64)) * int(ends[-1]) >> 32
        classes = torch.searchsorted(ends, row, right=True)
        return classes, row - (ends - self.pool.counts)[classes]

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        return {
            "kind": "batches",
            "dataset": self.pool.dataset,
            "split": self.pool.split,
            "class_hash": self.pool.class_hash,
            "classes": len(self.pool),
            "shape": list(self.pool.shape),
            "ways": len(self.pool),
            "shots": 0,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }


def _range(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _plain(value: int | tuple[int, int]) -> int | list[int]:
    return value if isinstance(value, int) else list(value)
