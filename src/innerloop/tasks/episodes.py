"""Tasks drawn from a pool of classes: N ways, K shots, Q queries; episode `i` is a function of `(seed, i)` alone."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.errors import InputError
from innerloop.core.types import Batch, Episode
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
            may be uneven.
        """
        drawn = self.draw(first, count)
        key = _keys(self.seed, first, count)
        ways = drawn.classes.shape[1]
        owner = drawn.classes[:, :, None]
        label = torch.arange(ways)[:, None].expand(count, -1, 1)
        label = torch.where(owner < 0, -1, label)

        shuffle = random.permutation(random.fold(random.fold(key, _DRAW), 3), ways * self.queries)
        support_y = torch.where(drawn.support < 0, -1, label).flatten(1)  # [count, ways * shots]
        query_y = torch.where(drawn.query < 0, -1, label).flatten(1).gather(1, shuffle)
        instances = [drawn.support.flatten(1), drawn.query.flatten(1).gather(1, shuffle)]
        owners = [owner.expand_as(drawn.support).flatten(1), owner.expand_as(drawn.query).flatten(1).gather(1, shuffle)]
        classes, instance = torch.cat(owners, 1), torch.cat(instances, 1)  # [count, rows]

        rows = self.pool.data[classes.clamp_min(0), instance.clamp_min(0)]  # the one gather
        if self._uneven:
            rows[instance < 0] = 0
        supports = support_y.shape[1]
        present = drawn.classes >= 0
        return Episode(
            self._batch(rows[:, :supports], support_y, present, key),
            self._batch(rows[:, supports:], query_y, present, random.fold(key, _QUERY)),
        )

    def draw(self, first: int, count: int) -> Draw:
        """What `episodes(first, count)` consists of, as indices into the pool."""
        key = random.fold(_keys(self.seed, first, count), _DRAW)
        low, ways = _range(self.ways)
        classes = _choose(random.fold(key, 0), torch.full((count,), len(self.pool)), len(self.pool), ways)
        real = _between(random.fold(key, 4), low, ways)  # [count]
        absent = torch.arange(ways) >= real[:, None]

        low, shots = _range(self.shots)
        each = random.fold(random.fold(key, 1)[:, None], torch.arange(ways))  # [count, ways] keys
        instances = _choose(each, self.pool.counts[classes], self.pool.data.shape[1], shots + self.queries)
        instances = instances.masked_fill(absent[..., None], -1)
        real = _between(random.fold(random.fold(key, 2)[:, None], torch.arange(ways)), low, shots)  # [count, ways]
        support = instances[..., :shots].masked_fill(torch.arange(shots) >= real[..., None], -1)
        return Draw(classes.masked_fill(absent, -1), support, instances[..., shots:])

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

    def _batch(self, rows: Tensor, y: Tensor, present: Tensor, key: Tensor) -> Batch:
        return Batch(self.pool.as_float(rows), y, y >= 0 if self._uneven else None, present, key)


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
        key = _keys(self.seed, first, count)
        classes, instances = self.draw(first, count)
        x = self.pool.as_float(self.pool.data[classes, instances])
        present = torch.ones(count, len(self.pool), dtype=torch.bool)
        return Episode(
            Batch(x[:, :0], classes[:, :0], classes=present, key=key),
            Batch(x, classes, classes=present, key=random.fold(key, _QUERY)),
        )

    def draw(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """The class and the instance of every row, both [count, batch_size]."""
        key = random.fold(_keys(self.seed, first, count), _DRAW)
        ends = self.pool.counts.cumsum(0)
        row = (random.bits(key, (self.batch_size,)) * int(ends[-1])) >> 32
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


def _keys(seed: int, first: int, count: int) -> Tensor:
    return random.mix(seed, torch.arange(first, first + count))  # [count]


def _choose(key: Tensor, among: Tensor, size: int, k: int) -> Tensor:
    """`k` of `0 .. among-1` in random order without replacement, [*key.shape, k]; the position breaks ties.

    Args:
        key: [...] keys.
        among: [...] how many there are to choose from, at most `size`.
        size: Static bound of `among`.
        k: At most the least `among`.
    """
    position = torch.arange(size)
    order = (random.bits(key, (size,)) << size.bit_length()) | position
    order = order.masked_fill(position >= among[..., None], torch.iinfo(torch.int64).max)
    return order.topk(k, largest=False, sorted=True).indices


def _between(key: Tensor, low: int, high: int) -> Tensor:
    """A uniform number of `low .. high` for each key."""
    return low + ((random.bits(key, ()) * (high - low + 1)) >> 32)


def _range(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _plain(value: int | tuple[int, int]) -> int | list[int]:
    return value if isinstance(value, int) else list(value)
