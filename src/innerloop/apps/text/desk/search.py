"""Search by meaning and by words: a sentence encoder joined with BM25.

Meaning: the cosine of rows of a frozen encoder. Words: BM25 (Robertson and Zaragoza 2009, "The Probabilistic Relevance
Framework: BM25 and Beyond", as the package bm25s has it), as a share of what a text could have that holds every word
of the question often: names, numbers and part codes mean little to an encoder. A sum, not ranks: joined by ranks, a
text in another language lost to any that shares a "the" with the question.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.core.importing import require

_WORD = re.compile(r"[^\W_]+")
_HAN = re.compile(r"[぀-ヿ㐀-鿿豈-﫿]+")
"""Japanese syllables and Chinese characters, which are written without blanks."""
_WORDS = 0.5
"""What all words of a question weigh beside the cosine. On the questions of the guide that choices are made by, 0.1 to
1 found the same passages (`python -m benchmarks.desk`)."""


class Hit(NamedTuple):
    """A text that is near to a question."""

    place: int
    """Among what is searched."""
    similarity: float
    """The cosine of rows, and half of the share of words: 1.5 is the same sentence."""


class Index:
    """Texts that can be searched.

    Args:
        texts: What is searched, at least one.
        rows: [n, features] what the encoder makes of them.

    Raises:
        InputError: bm25s is not installed.
    """

    def __init__(self, texts: Sequence[str], rows: Tensor):
        require("bm25s", "searching documents", "desk")
        import bm25s

        self._rows = torch.nn.functional.normalize(rows.double(), dim=-1)
        tokens = [words(text) for text in texts]
        # A package for searching millions has no place for a text without words.
        self._words = bm25s.BM25(method="lucene")
        self._words.index([text or [""] for text in tokens], show_progress=False)
        self._within = Counter(word for text in tokens for word in set(text))

    def search(self, question: str, row: Tensor, count: int = 5) -> list[Hit]:
        """The nearest texts, the best first.

        Args:
            question: What is asked.
            row: [features] what the encoder makes of it.
            count: How many; fewer where there are fewer.
        """
        similarity = self._rows @ torch.nn.functional.normalize(row.double().flatten(), dim=0)
        asked = words(question)
        known = [word for word in asked if word in self._within]
        if known:
            most = sum(self._rarity(word) for word in asked)
            similarity = similarity + _WORDS * from_numpy(self._words.get_scores(known)).double() / most
        best = similarity.argsort(descending=True, stable=True)[:count].tolist()
        return [Hit(place, float(similarity[place])) for place in best]

    def _rarity(self, word: str) -> float:
        """BM25's weight of a word (Lucene's variant), which is the most that it can add to a text's score."""
        within = self._within[word]
        return math.log1p((len(self._rows) - within + 0.5) / (within + 0.5))


def words(text: str) -> list[str]:
    """Words of a text in small letters; of what is written without blanks, pairs of characters."""
    parts: list[str] = []
    for word in _WORD.findall(text.casefold()):
        start = 0
        for run in _HAN.finditer(word):
            parts += [word[start : run.start()]] if run.start() > start else []
            characters = run[0]
            parts += [characters[i : i + 2] for i in range(len(characters) - 1)] or [characters]
            start = run.end()
        parts += [word[start:]] if start < len(word) else []
    return parts
