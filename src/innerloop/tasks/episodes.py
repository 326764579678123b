"""Tasks drawn from a pool of classes: N ways, K shots, Q queries; episode `i` is a function of `(seed, i)` alone."""

import contextlib
import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from innerloop.core import notebook
from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Count, Natural, Share
from innerloop.core.types import Batch, Episode
from innerloop.tasks import draws
from innerloop.tasks.pool import Pool, base_name

DRAW = 0x5EED0D0A
"""Folded into an episode's key for what a sampler draws, apart from what learners fold (small numbers)."""
QUERY = 0x0A0EEE1
"""Folded into it for the query's key."""


class Draw(NamedTuple):
    """Which classes and examples make up some episodes; -1 where there is none."""

    classes: Tensor
    """[count, ways] int64, indices into the pool's classes, in the order of the labels."""
    support: Tensor
    """[count, ways, shots] int64, indices into the instances of each class."""
    query: Tensor
    """[count, ways, queries] int64, likewise, before they are shuffled."""
    distractors: Tensor
    """[count, distractors] int64, further classes, whose examples have no label."""
    unlabelled: Tensor
    """[count, ways + distractors, unlabelled] int64, instances of the classes and then of the distractors."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EpisodeSampler(Checked):
    """Few-shot classification tasks: labels are the order in which an episode's classes were drawn.

    A range of ways or shots gives uneven tasks: the number of ways is drawn for each episode, that of shots for each
    of its classes, and what is missing up to the high value is padded with zeros, label -1 and a False in `mask`.

    Unlabelled examples follow the labelled ones in the support, in random order, with label -1; labelled rows and
    queries are the same as without them.

    Raises:
        InputError: The pool has too few classes, or a class too few examples, or its groups are too small or unknown.
    """

    pool: Pool
    ways: Count | tuple[Count, Count]
    """How many classes; a pair is an inclusive range."""
    shots: Count | tuple[Count, Count]
    """How many support examples of each class; a pair is an inclusive range."""
    queries: Count
    """How many query examples of each class."""
    seed: int = 0
    unlabelled: Natural = 0
    """How many further examples of each class the support has without their label."""
    distractors: Natural = 0
    """How many further classes the support has unlabelled examples of, and the query none."""
    same_group: Share = 0.0
    """Share of episodes whose classes, distractors too, are all from one group (alphabet), drawn uniformly from those
    with enough classes. A rotated alphabet is a group of its own."""

    def __post_init__(self) -> None:
        if not isinstance(self.pool, Pool):
            raise InputError(
                f"pool must be a Pool, got {type(self.pool).__name__}: `Pool.from_arrays` makes one of arrays"
            )
        for name, value in (("ways", self.ways), ("shots", self.shots)):
            low, high = _range(value)
            if low > high:
                raise InputError(f"{name} must be a number or a range (low, high), got {value}")
        if self.distractors and not self.unlabelled:
            raise InputError(f"{self.distractors} distractors without unlabelled examples are nothing: say how many")
        ways, shots = _range(self.ways)[1], _range(self.shots)[1]
        classes = ways + self.distractors
        if classes > len(self.pool):
            more = f" and {self.distractors} distractors" if self.distractors else ""
            raise InputError(
                f"{ways} ways{more} need {classes} classes; {self.pool.dataset} ({self.pool.split}) has "
                f"{len(self.pool)}. Lower the ways or give more classes"
            )
        need, least = shots + self.queries + self.unlabelled, int(self.pool.counts.argmin())
        if int(self.pool.counts[least]) < need:
            parts = [f"{shots} shots", f"{self.queries} queries"]
            parts += [f"{self.unlabelled} unlabelled"] if self.unlabelled else []
            raise InputError(
                f"{' and '.join(parts)} need {need} examples of every class; "
                f"'{self.pool.names[least]}' has {int(self.pool.counts[least])}: ask for fewer shots or queries"
            )
        if self.same_group and not len(self._groups[1]):
            sizes = Counter(self._group_names())
            raise InputError(
                f"{classes} classes within one group need a group of as many; {self.pool.dataset} ({self.pool.split}) "
                f"has {f'none of more than {max(sizes.values())}' if sizes else 'no groups'}: leave out same_group"
            )

    def episodes(self, first: int, count: int) -> Episode:
        """Episodes `first .. first + count - 1`, stacked.

        Returns:
            Support x [count, ways * shots, ...] in the order of the labels, then the unlabelled, query x
            [count, ways * queries, ...] shuffled, both float32 in [0, 1] for pictures; y int64; `classes`
            [count, ways]; `mask` only where tasks may be uneven. All on the device of the pool's data.
        """
        key, drawn = draws.keys(self.seed, first, count), self.draw(first, count)
        classes, support, query, distractors, unlabelled = (part.numpy() for part in drawn)
        label = np.where(classes < 0, -1, np.arange(classes.shape[1]))
        supports, y = self._rows(classes, support), _flat(label, support)
        if self.unlabelled:
            more = self._rows(np.concatenate([classes, distractors], 1), unlabelled)
            more = np.take_along_axis(more, self._shuffled(key, 9, more), 1)
            supports, y = np.concatenate([supports, more], 1), np.concatenate([y, np.full_like(more, -1)], 1)
        asked = self._rows(classes, query)
        order = self._shuffled(key, 3, asked)
        asked, answers = (np.take_along_axis(part, order, 1) for part in (asked, _flat(label, query)))
        present = classes >= 0
        return Episode(
            self._batch(supports, y, present, key), self._batch(asked, answers, present, draws.fold(key, QUERY))
        )

    def wider(self, more: int) -> "EpisodeSampler":
        """The same tasks with up to so many further classes, as far as the pool and its groups have them."""
        if isinstance(self.ways, int):
            for ways in range(self.ways + more, self.ways, -1):
                with contextlib.suppress(InputError):
                    return replace(self, ways=ways)
        return self

    def draw(self, first: int, count: int) -> Draw:
        """What `episodes(first, count)` consists of, as indices into the pool."""
        key = draws.fold(draws.keys(self.seed, first, count), DRAW)
        (least_ways, ways), (least_shots, shots) = _range(self.ways), _range(self.shots)
        position = np.arange(ways + self.distractors)
        classes = draws.choose(draws.fold(key, 0), len(self.pool), len(position))
        if self.same_group:
            one = draws.uniform(draws.fold(key, 5), 1) < self.same_group
            classes = np.where(one, self._from_one_group(key, len(position)), classes)
        each = draws.fold(draws.fold(key, 1)[:, None], position)  # [count, ways + distractors] keys
        room, k = self.pool.data.shape[1], shots + self.queries
        counts = self._counts[classes] if self._ragged else None
        instances = draws.choose(each, room, k + self.unlabelled, counts)
        classes, distractors, unlabelled = classes[:, :ways], classes[:, ways:], instances[..., k:]
        support, query = instances[:, :ways, :shots], instances[:, :ways, shots:k]
        if self._uneven:
            position = position[:ways]
            absent = position >= draws.between(draws.fold(key, 4), least_ways, ways)[:, None]
            classes, query = np.where(absent, -1, classes), np.where(absent[..., None], -1, query)
            shown = draws.between(draws.fold(draws.fold(key, 2)[:, None], position), least_shots, shots)
            support = np.where(absent[..., None] | (np.arange(shots) >= shown[..., None]), -1, support)
            unlabelled[:, :ways][absent] = -1
        parts = (classes, support, query, distractors, unlabelled)
        return Draw(*map(from_numpy, parts))

    def _repr_html_(self) -> str:
        return notebook.described(f"tasks of {self.pool.dataset}", self.describe())

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`; a range is a list [low, high]. Hashes of results hold these names."""
        extras = {"unlabelled": self.unlabelled, "distractors": self.distractors, "within": self.same_group}
        return {
            "kind": "episodes",
            "score": "accuracy",
            **draws.drawn_from(self.pool),
            "ways": _plain(self.ways),
            "shots": _plain(self.shots),
            "queries": self.queries,
            "seed": self.seed,
            **{k: value for k, value in extras.items() if value},
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

    @functools.cached_property
    def _groups(self) -> tuple[np.ndarray, np.ndarray]:
        """The classes of each group that has enough, [groups, most], padded; and how many each has, [groups]."""
        members: dict[str, list[int]] = {}
        for i, name in enumerate(self._group_names()):
            members.setdefault(name, []).append(i)
        large = [m for m in members.values() if len(m) >= _range(self.ways)[1] + self.distractors]
        table = np.zeros((len(large), max(map(len, large), default=0)), np.int64)
        for row, classes in zip(table, large, strict=True):
            row[: len(classes)] = classes
        return table, np.array([len(classes) for classes in large], np.int64)

    def _group_names(self) -> Iterator[str]:
        for group, name in zip(self.pool.groups, self.pool.names, strict=False):
            yield group + name.removeprefix(base_name(name))

    def _from_one_group(self, key: np.ndarray, size: int) -> np.ndarray:
        """[count, size] classes, all of one group."""
        members, sizes = self._groups
        group = draws.between(draws.fold(key, 6), 0, len(sizes) - 1)
        chosen = draws.choose(draws.fold(key, 7), members.shape[1], size, sizes[group])
        return members[group[:, None], chosen]

    def _rows(self, owner: np.ndarray, instance: np.ndarray) -> np.ndarray:
        """[count, ways * n] rows of the pool, of [count, ways] classes and [count, ways, n] instances; -1 for none."""
        rows = owner[..., None] * self.pool.data.shape[1] + instance
        return np.where(instance >= 0, rows, -1).reshape(_merged(instance))

    def _shuffled(self, key: np.ndarray, number: int, rows: np.ndarray) -> np.ndarray:
        return draws.permutation(draws.fold(draws.fold(key, DRAW), number), rows.shape[1])

    def _batch(self, rows: np.ndarray, y: np.ndarray, present: np.ndarray, key: np.ndarray) -> Batch:
        """Examples of [count, n] rows, of which -1 is padding, with their labels."""
        x = self.pool.rows(from_numpy(np.maximum(rows, 0)))
        labels, real, classes = (from_numpy(part).to(x.device) for part in (y, rows >= 0, present))
        if not self._uneven:
            return Batch(x, labels, None, classes, draws.tensor(key).to(x.device))
        x[~real] = 0
        return Batch(x, labels, real, classes, draws.tensor(key).to(x.device))


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchSampler(Checked):
    """Plain supervised training as one task: no support, and a minibatch with the pool's class numbers as query.

    Rows are drawn independently and uniformly from all examples (with replacement), so that batch `i` needs no epoch.
    """

    pool: Pool
    batch_size: Count
    seed: int = 0

    def episodes(self, first: int, count: int) -> Episode:
        """Batches `first .. first + count - 1`, stacked: support x [count, 0, ...], query x [count, size, ...]."""
        key = draws.keys(self.seed, first, count)
        classes, instances = self.draw(first, count)
        x = self.pool.rows(classes * self.pool.data.shape[1] + instances)
        y, present = classes.to(x.device), torch.ones(count, len(self.pool), dtype=torch.bool, device=x.device)
        own, other = (draws.tensor(k).to(x.device) for k in (key, draws.fold(key, QUERY)))
        return Episode(Batch(x[:, :0], y[:, :0], classes=present, key=own), Batch(x, y, classes=present, key=other))

    def draw(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """The class and the instance of every row, both [count, batch_size]."""
        key = draws.fold(draws.keys(self.seed, first, count), DRAW)
        ends = self.pool.counts.cumsum(0)
        row = from_numpy(draws.bits(key, self.batch_size).astype(np.int64)) * int(ends[-1]) >> 32
        classes = torch.searchsorted(ends, row, right=True)
        return classes, row - (ends - self.pool.counts)[classes]

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        return {
            "kind": "batches",
            "score": "accuracy",
            **draws.drawn_from(self.pool),
            "ways": len(self.pool),
            "shots": 0,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }


def _flat(label: np.ndarray, instance: np.ndarray) -> np.ndarray:
    """[count, ways * n] labels of [count, ways, n] instances; -1 where there is none."""
    return np.where(instance >= 0, label[..., None], -1).reshape(_merged(instance))


def _merged(instance: np.ndarray) -> tuple[int, int]:
    """The shape of [count, ways, n] instances as [count, ways * n], which NumPy cannot guess of none."""
    count, ways, n = instance.shape
    return count, ways * n


def _range(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _plain(value: int | tuple[int, int]) -> int | list[int]:
    return value if isinstance(value, int) else list(value)
