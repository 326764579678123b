"""Rows of words that are encoded once and kept in the user's cache folder, in half precision."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from innerloop.core.aligned import from_numpy
from innerloop.core.context import Root
from innerloop.encoders.base import content_of
from innerloop.encoders.tokens import TokenEncoder, TokenRows, readable
from innerloop.encoders.whitening import Whitened
from innerloop.tasks import cache
from innerloop.tasks.progress import track

_VERSION = 1
"""Number of the way in which rows are made: another one makes them anew."""
_BATCH = 64


def rows_of(encoder: TokenEncoder, sentences: Sequence[Sequence[str]], context: Root = None) -> TokenRows:
    """Rows of words, from the cache where these sentences have been through this encoder, with a bar where not.

    Args:
        encoder: Whitening is done afterwards: rows are kept as they were before it.
        sentences: Their words. Another word anywhere makes them other sentences.
        context: Whose cache folder.

    Returns:
        Rows rounded to half precision, the same at the first time and later.

    Raises:
        InputError: A word is empty or cannot be read.
    """
    if isinstance(encoder, Whitened):
        rows, lengths = rows_of(encoder.encoder, sentences, context)
        return TokenRows(encoder.whitening.apply(rows), lengths)
    words = readable(sentences)
    name = f"words-{encoder.name.replace(':', '-')}-{_digest(encoder, words)}"
    # The name of a folder holds characters that no file has.
    name = "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in name)
    rows = cache.cached(context, name, lambda: {"rows": _encoded(encoder, words)}, ("rows",))["rows"]
    return TokenRows(from_numpy(rows).float(), torch.tensor([len(sentence) for sentence in words], dtype=torch.int64))


def _digest(encoder: TokenEncoder, sentences: list[list[str]]) -> str:
    digest = hashlib.sha256(f"{_VERSION} {encoder.name} {content_of(encoder)}".encode())
    for words in sentences:
        digest.update("\0".join(["", *words, "\0"]).encode())
    return digest.hexdigest()[:16]


def _encoded(encoder: TokenEncoder, sentences: list[list[str]]) -> np.ndarray:
    """[words, features] float16, sentences of like length together."""
    lengths = np.array([len(words) for words in sentences])
    ends = np.cumsum(lengths)
    rows = np.empty((int(lengths.sum()), encoder.features), dtype=np.float16)
    order = np.argsort(lengths, kind="stable")
    starts = range(0, len(order), _BATCH)
    for start in track(starts, f"{len(order):,} sentences through {encoder.name}", len(starts)):
        part = order[start : start + _BATCH]
        for i, found in zip(part, encoder.encode([sentences[i] for i in part]).split(), strict=True):
            rows[ends[i] - lengths[i] : ends[i]] = found.half().numpy()
    return rows
