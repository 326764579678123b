"""What turns the words of sentences into rows, one row a word, beside `Encoder`, which makes one row a sentence.

One file each, whose name ends in `_tokens`; it has `NAMES` (what it answers to, and what that is), `PACKAGE` (the
module that it needs, imported by `load` alone), `EXTRA` (which brings it) and `load(name) -> TokenEncoder`, which keeps
what it has read; with a `PREFIX` it answers to whatever begins so, too. Nothing needs to be registered.
"""

import functools
import importlib
import importlib.util
import pkgutil
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from innerloop import encoders
from innerloop.core.errors import InputError
from innerloop.core.importing import require
from innerloop.core.nearest import nearest
from innerloop.core.threads import on_one_core

LONGEST = 100
"""Characters of a word that are read; what is beyond has no influence. BERT's tokenizer makes one unknown piece of
longer ones, and a word of 5,000 would take the room of its sentence."""
_LOADING = threading.Lock()


class TokenRows(NamedTuple):
    """Rows of sentences that lie one after another."""

    rows: Tensor  # [words, features] float32
    lengths: Tensor  # [sentences] int64, how many words each has

    def split(self) -> tuple[Tensor, ...]:
        """The rows of each sentence, [words, features]."""
        return self.rows.split(self.lengths.tolist())


class TokenEncoder(Protocol):
    """A frozen network. `encode` may be called from many threads at once.

    Copied and sent to other processes by its name. One whose files may become others under the same name is `Pinned`
    (see `encoders.base`).
    """

    @property
    def name(self) -> str:
        """How it is asked for again, such as `minilm:3`: network and layer."""
        ...

    @property
    def features(self) -> int:
        """Length of a row."""
        ...

    def encode(self, sentences: Sequence[Sequence[str]]) -> TokenRows:
        """Rows of words in their sentence; they do not depend on the other sentences, up to rounding.

        Raises:
            InputError: A word is empty or cannot be read.
        """
        ...


@functools.cache
def names() -> dict[str, str]:
    """Token encoders, and what they are."""
    return {name: about for module in _modules() for name, about in module.NAMES.items()}


def installed(name: str) -> bool:
    """Whether the package that a token encoder needs is there."""
    return importlib.util.find_spec(_module(name).PACKAGE) is not None


def named(name: str) -> TokenEncoder:
    """A token encoder, loaded once a process.

    Raises:
        InputError: There is none of that name, or its package is missing.
    """
    module = _module(name)
    require(module.PACKAGE, name, module.EXTRA)
    with _LOADING:  # a cache alone would let every thread that comes early load its own
        return module.load(name)


def readable(sentences: Sequence[Sequence[str]]) -> list[list[str]]:
    """Words as any encoder can read them: of bounded length and without lone surrogates.

    Raises:
        InputError: A sentence is one text, or a word is no text or has no visible character.
    """
    if isinstance(sentences, str):
        raise InputError("one text was given; give a list of sentences, each a list of its words")
    return [_words(sentence, i) for i, sentence in enumerate(sentences)]


def encoded(sentences: Sequence[Sequence[str]], rows: Callable[[list[list[str]]], Tensor]) -> TokenRows:
    """Rows of words, of which one sentence alone gets the same on any number of cores.

    Args:
        sentences: As an encoder is given them.
        rows: Readable ones -> [words, features].

    Raises:
        InputError: As of `readable`.
    """
    words = readable(sentences)
    lengths = torch.tensor([len(sentence) for sentence in words], dtype=torch.int64)
    return TokenRows(on_one_core(lambda: rows(words)) if len(words) == 1 else rows(words), lengths)


def _words(sentence: Sequence[str], number: int) -> list[str]:
    if isinstance(sentence, str):
        raise InputError(f"sentence {number} is one text ('{sentence[:40]}'); give the list of its words")
    words = []
    for i, word in enumerate(sentence):
        if not isinstance(word, str):
            raise InputError(f"word {i} of sentence {number} is of type {type(word).__name__}; words are texts (str)")
        if not word.strip():
            raise InputError(f"word {i} of sentence {number} is empty ({word[:10]!r}): leave it out, with its tag")
        # A lone surrogate (half of a character, from broken JSON) cannot be written as UTF-8.
        words.append(word.strip()[:LONGEST].encode("utf-8", "replace").decode("utf-8"))
    return words


def _module(name: str) -> Any:
    for module in _modules():
        prefix = getattr(module, "PREFIX", None)
        if name in module.NAMES or (prefix and name.startswith(prefix)):
            return module
    raise InputError(f"there is no encoder of words '{name}'{nearest(name, names())}")


@functools.cache
def _modules() -> tuple[Any, ...]:
    files = (info.name for info in pkgutil.iter_modules(encoders.__path__) if info.name.endswith(encoders.OF_TOKENS))
    return tuple(importlib.import_module(f"{encoders.__name__}.{file}") for file in files)
