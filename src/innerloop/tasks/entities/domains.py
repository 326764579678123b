"""Tagged sentences of one domain, the types that its tasks may ask for, and the rows of their words."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.tasks.entities.sentences import Sentence

_SHORT = 16
LEFT_OUT = ("misc",)
"""Types that are no type: what is left over when all others are taken."""


@dataclass(frozen=True)
class Domain:
    """Sentences that belong together."""

    name: str
    sentences: tuple[Sentence, ...]
    types: tuple[str, ...]
    """Those that tasks ask for. A sentence that holds another one is in no task: its words would be tagged as O."""

    @classmethod
    def of(cls, name: str, sentences: Iterable[Sentence], left_out: Iterable[str] = LEFT_OUT) -> "Domain":
        """All types of some sentences, but those that are left out."""
        sentences = tuple(sentences)
        types = {span.type for sentence in sentences for span in sentence.spans}
        return cls(name, sentences, tuple(sorted(types - set(left_out))))

    @property
    def words(self) -> list[tuple[str, ...]]:
        """Words of each sentence."""
        return [sentence.words for sentence in self.sentences]

    @cached_property
    def digest(self) -> str:
        """Short sha256 of words, entities and types."""
        content = hashlib.sha256(json.dumps(self.types).encode())
        for sentence in self.sentences:
            content.update(json.dumps([sentence.words, sentence.spans]).encode())
        return content.hexdigest()[:_SHORT]


@dataclass(frozen=True, eq=False)
class Encoded:
    """A domain with a row for every word.

    Raises:
        InputError: There are not as many rows as words.
    """

    domain: Domain
    rows: Tensor = field(repr=False)
    """[words, features] float16 or float32, sentence after sentence."""

    def __post_init__(self) -> None:
        words = sum(len(sentence.words) for sentence in self.domain.sentences)
        if self.rows.ndim != 2 or len(self.rows) != words or not self.rows.is_floating_point():
            raise InputError(
                f"{self.domain.name} has {words} words and needs as many rows [words, features] of floats; got "
                f"{list(self.rows.shape)} of {self.rows.dtype}"
            )

    @cached_property
    def lengths(self) -> np.ndarray:
        """[sentences] words of each."""
        return np.array([len(sentence.words) for sentence in self.domain.sentences], np.int64)

    @cached_property
    def starts(self) -> np.ndarray:
        """[sentences] row of each one's first word."""
        return np.cumsum(self.lengths) - self.lengths

    @cached_property
    def counts(self) -> np.ndarray:
        """[types, sentences] entities of each type."""
        index = {name: i for i, name in enumerate(self.domain.types)}
        counts = np.zeros((len(index), len(self.lengths)), np.int64)
        for i, sentence in enumerate(self.domain.sentences):
            for span in sentence.spans:
                if span.type in index:
                    counts[index[span.type], i] += 1
        return counts

    @cached_property
    def totals(self) -> np.ndarray:
        """[sentences] entities of any type, those that tasks do not ask for as well."""
        return np.array([len(sentence.spans) for sentence in self.domain.sentences], np.int64)

    @cached_property
    def tags(self) -> np.ndarray:
        """[words] 0 for none, 1 + i for type i, -1 for a type that tasks do not ask for."""
        index = {name: i + 1 for i, name in enumerate(self.domain.types)}
        tags = np.zeros(len(self.rows), np.int64)
        for start, sentence in zip(self.starts.tolist(), self.domain.sentences, strict=True):
            for span in sentence.spans:
                tags[start + span.start : start + span.end] = index.get(span.type, -1)
        return tags

    def take(self, words: np.ndarray) -> Tensor:
        """[n, features] float32 rows of words; zeros where the number is -1."""
        index = from_numpy(words)
        return self.rows.index_select(0, index.clamp_min(0)).float().masked_fill_((index < 0)[:, None], 0)
