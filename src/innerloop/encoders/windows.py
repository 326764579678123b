"""Windows of words, for networks that read no more than so many pieces at once: nothing of a sentence is cut off."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Window(NamedTuple):
    """Words `begin` to `end` are read together, and those from `first` to `last` have their rows from here."""

    begin: int
    end: int
    first: int
    last: int


def windows(many: np.ndarray, room: int) -> Iterator[Window]:
    """Windows of whole words, each half a window after the one before.

    A word has its row from the window in which most lies on the poorer of its two sides; where the sentence itself
    begins or ends, nothing lacks.

    Args:
        many: [words] pieces of each word, from 1 to a bit less than half of `room`.
        room: Pieces of a window.

    Yields:
        Windows in order, between which every word has its row once.
    """
    edges = np.concatenate([[0], np.cumsum(many)])  # between words, in pieces
    total = int(edges[-1])
    if total <= room:
        if total:
            yield Window(0, len(many), 0, len(many))
        return
    spans, at = list[tuple[int, int]](), 0
    while True:
        end = int(np.searchsorted(edges, edges[at] + room, side="right")) - 1
        spans.append((at, end))
        if end == len(many):
            break
        at = int(np.searchsorted(edges, edges[at] + room // 2))  # not after `end`, as no word is as long as half
    begins, ends = (edges[list(side)][:, None] for side in zip(*spans, strict=True))
    left = np.where(begins == 0, total, edges[:-1] - begins)
    right = np.where(ends == total, total, ends - edges[1:])
    inside = (edges[:-1] >= begins) & (edges[1:] <= ends)
    owners = np.where(inside, np.minimum(left, right), -1).argmax(0)
    for number, (begin, end) in enumerate(spans):
        mine = np.flatnonzero(owners == number)
        if len(mine):
            yield Window(begin, end, int(mine[0]), int(mine[-1]) + 1)
