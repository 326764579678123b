"""Tagging tasks of a few types, N ways and K~2K shots, by the greedy sampler of Few-NERD (Ding et al., ACL 2021).

https://aclanthology.org/2021.acl-long.248. Sentences are looked at in random order: one is taken if all of its types
are the task's, none of them comes to more than 2K entities, and one of them has fewer than K as yet.
"""

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import torch

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Count, Natural, Positive
from innerloop.core.types import Batch, Episode
from innerloop.tasks import draws
from innerloop.tasks.entities.domains import Encoded
from innerloop.tasks.episodes import DRAW, QUERY

VERSION = 1
"""Counted up where a release draws other tasks from the same sentences."""
_PROBES, _ROUND = 64, 32
"""How many tasks tell how long tasks are, and what lengths are multiples of."""
_BLOCK = 32
"""Attempts whose types are drawn at once."""


class Drawn(NamedTuple):
    """What a task is made from."""

    domain: int
    types: tuple[str, ...]
    """In the order of the classes from 1 on."""
    support: tuple[int, ...]
    """Sentences of the domain, in the order of the rows."""
    query: tuple[int, ...]
    too_long: int
    """How many tasks were drawn before and had more words than there is room for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EntitySampler(Checked):
    """Tasks of one domain each, whose rows are words: class 0 is O, the others are the task's types.

    The words of all sentences lie one after another, with one masked row between two sentences, and are padded at the
    end; so scores and decoders know where a sentence ends.

    Raises:
        InputError: A domain has too few types, or a type too few entities.
    """

    domains: tuple[Encoded, ...]
    """Each task is of one, drawn uniformly."""
    ways: Count = 5
    """Types of a task, O not counted."""
    shots: Count = 5
    """K: the support has K to 2K entities of every type."""
    queries: Count = 5
    """Likewise for the query."""
    seed: int = 0
    dataset: str = "sentences"
    split: Literal["train", "validation", "test", "all"] = "all"
    tokens: Natural = 0
    """Rows of a support, and of a query; tasks that need more are drawn again. 0: a quarter more than the longest of
    some tasks needs."""
    attempts: Count = 1000
    """How often a task is drawn until every type has its entities."""
    other_weight: Positive | None = None
    """What the support's words of O together count, where those of a type, on average, count as 1, for learners that
    weigh rows; None: rows are not weighed."""
    places: bool = False
    """Whether `x` is a dict of the rows `x`, the number of each row's `sentence` and its `position` there; both -1
    where there is no word."""

    def __post_init__(self) -> None:
        if not self.domains:
            raise InputError("a sampler of entities needs sentences: give at least one domain")
        if len({encoded.rows.shape[1] for encoded in self.domains}) > 1:
            raise InputError("the rows of all domains must have one length: encode them with one encoder")
        for encoded in self.domains:
            name, types = encoded.domain.name, encoded.domain.types
            if self.ways > len(types):
                raise InputError(
                    f"{self.ways} ways need as many types; {name} has {len(types)} "
                    f"({', '.join(types) or 'no entity at all'}). Lower the ways or give more tagged sentences"
                )
            counts = encoded.counts.sum(1)
            least, need = int(counts.argmin()), self.shots + self.queries
            if counts[least] < need:
                raise InputError(
                    f"{self.shots} shots and {self.queries} queries need {need} entities of every type; "
                    f"'{types[least]}' of {name} has {counts[least]}. Lower them, tag more, or leave the type out"
                )

    @property
    def role(self) -> str | None:
        """What the tasks are for, where it is known."""
        return None if self.split == "all" else self.split

    def episodes(self, first: int, count: int) -> Episode:
        """Episodes `first .. first + count - 1`, stacked.

        Returns:
            x [count, rows, features] float32, y [count, rows] and `mask`, of one length for all supports and one for
            all queries of the sampler; `classes` [count, 1 + ways]; `weight` of the support where O is weighed.
        """
        drawn, key = [self.draw(i) for i in range(first, first + count)], draws.keys(self.seed, first, count)
        support, query = self.lengths
        return Episode(
            self._batch([(one, one.support) for one in drawn], support, key, self.other_weight),
            self._batch([(one, one.query) for one in drawn], query, draws.fold(key, QUERY), None),
        )

    def draw(self, index: int) -> Drawn:
        """Which types and sentences make up an episode.

        Raises:
            InputError: All attempts failed; it says which type is too rare.
        """
        return self._draw(index, self.lengths)

    @functools.cached_property
    def lengths(self) -> tuple[int, int]:
        """Rows of every support and of every query."""
        if self.tokens:
            return self.tokens, self.tokens
        probe = replace(self, seed=0)  # samplers of other seeds have the same shapes
        longest = [0, 0]
        for i in range(_PROBES):
            drawn = probe._draw(i, None)
            for part, sentences in enumerate((drawn.support, drawn.query)):
                longest[part] = max(longest[part], self._needed(drawn.domain, sentences))
        support, query = (-(-5 * length // (4 * _ROUND)) * _ROUND for length in longest)
        return support, query

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`. How words are encoded is no part of the task."""
        extras = {"other_weight": self.other_weight, "places": self.places}
        return {
            "kind": "entities",
            "score": "entity_f1",
            "dataset": self.dataset,
            "split": self.split,
            "domains": [encoded.domain.name for encoded in self.domains],
            "data": [encoded.domain.digest for encoded in self.domains],
            "draws": [draws.VERSION, VERSION],
            "types": sorted({name for encoded in self.domains for name in encoded.domain.types}),
            "ways": self.ways,
            "shots": self.shots,
            "queries": self.queries,
            "tokens": list(self.lengths),
            "attempts": self.attempts,
            "seed": self.seed,
            **{name: value for name, value in extras.items() if value},
        }

    def _draw(self, index: int, lengths: tuple[int, int] | None) -> Drawn:
        key = draws.fold(draws.keys(self.seed, index, 1), DRAW)
        number = int(draws.between(draws.fold(key, 0), 0, len(self.domains) - 1)[0])
        encoded, rare, too_long = self.domains[number], Counter[str](), 0
        for own, types in self._attempts(key, len(encoded.counts)):
            parts, missing = self._sentences(encoded, types, own)
            if missing:
                rare.update(encoded.domain.types[types[i]] for i in missing)
            elif lengths and any(self._needed(number, p) > n for p, n in zip(parts, lengths, strict=True)):
                too_long += 1
            else:
                names = tuple(encoded.domain.types[i] for i in types)
                return Drawn(number, names, parts[0], parts[1], too_long)
        raise InputError(self._failure(encoded, rare, too_long))

    def _attempts(self, key: draws.Keys, types: int) -> Iterator[tuple[draws.Keys, np.ndarray]]:
        """A key and [ways] types for each attempt."""
        for start in range(0, self.attempts, _BLOCK):
            keys = draws.fold(key, 1 + np.arange(start, min(start + _BLOCK, self.attempts)))
            for i, chosen in enumerate(draws.choose(draws.fold(keys, 0), types, self.ways)):
                yield keys[i : i + 1], chosen

    def _sentences(
        self, encoded: Encoded, types: np.ndarray, key: draws.Keys
    ) -> tuple[list[tuple[int, ...]], Sequence[int]]:
        """Support and query, or the types that have too few entities for them."""
        counts = encoded.counts[types]  # [ways, sentences]
        own, most = counts.sum(0), 2 * max(self.shots, self.queries)
        candidates = np.flatnonzero((own > 0) & (own == encoded.totals) & (counts.max(0) <= most))
        missing = np.flatnonzero(counts[:, candidates].sum(1) < self.shots + self.queries).tolist()
        parts = list[tuple[int, ...]]()
        for part, least in enumerate((self.shots, self.queries)):
            if missing:
                break
            order = candidates[draws.permutation(draws.fold(key, 1 + part), len(candidates))[0]]
            chosen, missing = _greedy(order.tolist(), counts[:, order].T.tolist(), least)
            parts.append(tuple(chosen))
            candidates = np.setdiff1d(candidates, chosen, assume_unique=True)
        return parts, missing

    def _needed(self, domain: int, sentences: Sequence[int]) -> int:
        """Rows of some sentences, with those between them."""
        return int(self.domains[domain].lengths[list(sentences)].sum()) + len(sentences) - 1

    def _failure(self, encoded: Encoded, rare: Counter[str], too_long: int) -> str:
        task = f"no task of {self.ways} types with {self.shots} shots and {self.queries} queries"
        if too_long:
            return (
                f"{task} was drawn from {encoded.domain.name} in {self.attempts} attempts; {too_long} needed more than "
                f"{max(self.lengths)} words: raise tokens, or lower the ways or shots"
            )
        name, times = rare.most_common(1)[0]
        count = int(encoded.counts[encoded.domain.types.index(name)].sum())
        return (
            f"{task} was drawn from {encoded.domain.name} in {self.attempts} attempts: '{name}' was too rare in {times}"
            f" of them. It has {count} entities, but a sentence with types that are not in the task is no part of it. "
            "Lower the shots or queries, raise the ways, or leave the type out"
        )

    def _batch(
        self, parts: list[tuple[Drawn, tuple[int, ...]]], length: int, key: np.ndarray, other: float | None
    ) -> Batch:
        words = np.full((len(parts), length), -1, np.int64)  # rows of the domain
        sentence, position = np.full_like(words, -1), np.full_like(words, -1)
        y, x = np.zeros_like(words), list[torch.Tensor]()
        for i, (drawn, chosen) in enumerate(parts):
            encoded, place = self.domains[drawn.domain], 0
            for number, j in enumerate(chosen):
                start, n = encoded.starts[j], encoded.lengths[j]
                here = slice(place, place + n)
                words[i, here] = np.arange(start, start + n)
                if self.places:
                    sentence[i, here], position[i, here] = number, np.arange(n)
                place += n + 1
            label = np.zeros(len(encoded.domain.types) + 1, np.int64)
            label[[encoded.domain.types.index(name) + 1 for name in drawn.types]] = np.arange(1, self.ways + 1)
            y[i] = label[encoded.tags[words[i]]]
            x.append(encoded.take(words[i]))
        real = words >= 0
        y[~real] = 0
        rows = torch.stack(x)
        return Batch(
            {"x": rows, "sentence": from_numpy(sentence), "position": from_numpy(position)} if self.places else rows,
            from_numpy(y),
            from_numpy(real),
            torch.ones(len(parts), 1 + self.ways, dtype=torch.bool),
            draws.tensor(key),
            None if other is None else from_numpy(weights(y, real, self.ways, other)),
        )


def weights(y: np.ndarray, real: np.ndarray, ways: int, other: float) -> np.ndarray:
    """What each row of some supports counts.

    Args:
        y: [count, rows] classes.
        real: [count, rows] which rows are words.
        ways: Types of a task.
        other: What words of O count together, where those of a type, on average, count as 1.

    Returns:
        [count, rows] float32.
    """
    none = real & (y == 0)
    typical = (y > 0).sum(1) / ways
    weight = np.where(none, (other * typical / np.maximum(none.sum(1), 1))[:, None], 1.0)
    return weight.astype(np.float32)


def _greedy(order: list[int], counts: list[list[int]], least: int) -> tuple[list[int], list[int]]:
    """Sentences that are taken, and which types still have too few entities; what was refused once always is.

    Args:
        order: Sentences as they are looked at.
        counts: Entities of each type of the task in each of them.
        least: K.
    """
    held, chosen = [0] * len(counts[0]) if counts else [0], list[int]()
    for sentence, own in zip(order, counts, strict=True):
        wanted = any(n and h < least for n, h in zip(own, held, strict=True))
        if wanted and all(not n or h + n <= 2 * least for n, h in zip(own, held, strict=True)):
            chosen.append(sentence)
            held = [h + n for n, h in zip(own, held, strict=True)]
            if min(held) >= least:
                break
    return chosen, [i for i, h in enumerate(held) if h < least]
