"""Lines of a file or of standard input, with the place behind them."""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from innerloop.apps.text.watch.events import LONGEST_LINE
from innerloop.core import files
from innerloop.core.errors import InputError

LINES = 1_000
"""Most lines of a batch, which is one transaction."""
_CHUNK = 1 << 20
_BEGINNING = 4096
"""Bytes by which a file is known again."""
_PAUSE = 0.5
"""Seconds between two looks at a file that is followed."""


class Batch(NamedTuple):
    """Lines that are taken together."""

    lines: list[bytes]
    position: Any
    """The place in the input behind them, in plain JSON."""


class Splitter:
    """Lines of what comes in pieces; of one that is too long, only so much is held as shows that."""

    def __init__(self) -> None:
        self.rest = b""
        """What came after the last end of a line."""
        self._passed = 0  # bytes of it that are not held

    def add(self, piece: bytes) -> Iterator[tuple[bytes, int]]:
        """Lines that are whole now, each with the bytes that it takes in the input."""
        *ends, rest = piece.split(b"\n")
        for end in ends:
            self._hold(end)
            yield self.rest, len(self.rest) + self._passed + 1
            self.rest, self._passed = b"", 0
        self._hold(rest)

    def last(self) -> list[tuple[bytes, int]]:
        """The line that has no end."""
        return [(self.rest, len(self.rest) + self._passed)] if self.rest else []

    def _hold(self, part: bytes) -> None:
        room = max(0, LONGEST_LINE + 1 - len(self.rest))
        self.rest += part[:room]
        self._passed += max(0, len(part) - room)


def of_file(path: str | Path, position: Any, follow: bool) -> Iterator[Batch]:
    """Lines of a file from a place on.

    Args:
        path: Of the file.
        position: Of the last batch that was taken; None: from the beginning.
        follow: Whether to wait for more at its end; otherwise a last line without an end is taken as it is.

    Raises:
        InputError: There is no such file, or it is another one than was read before, or becomes another.
    """
    place = files.expanded(path)
    files.check_file(place, "give a file with one JSON object a line")
    with place.open("rb") as file:
        at = 0 if position is None else int(position["bytes"])
        if position is not None and (
            os.fstat(file.fileno()).st_size < at or _beginning(file, at) != position["begins"]
        ):
            raise InputError(f"{place} is not the file that was read up to byte {at:,}: name another --state")
        file.seek(at)
        splitter = Splitter()
        while True:
            piece = file.read(_CHUNK)
            if not piece and follow:
                _check_same(place, file.fileno(), at)
                time.sleep(_PAUSE)
                continue
            found = list(splitter.add(piece)) if piece else splitter.last()
            for first in range(0, len(found), LINES):
                some = found[first : first + LINES]
                at += sum(size for _, size in some)
                kept = file.tell()
                yield Batch([line for line, _ in some], {"bytes": at, "begins": _beginning(file, at)})
                file.seek(kept)
            if not piece:
                return


def of_descriptor(descriptor: int) -> Iterator[Batch]:
    """Lines of standard input, as soon as they are there.

    What was taken cannot be asked for again: where it is sent again, events are known by their ids.
    """
    splitter, count = Splitter(), 0
    while True:
        piece = os.read(descriptor, _CHUNK)
        found = list(splitter.add(piece)) if piece else splitter.last()
        for first in range(0, len(found), LINES):
            some = [line for line, _ in found[first : first + LINES]]
            count += len(some)
            yield Batch(some, {"lines": count})
        if not piece:
            return


def _beginning(file: Any, at: int) -> str:
    file.seek(0)
    return hashlib.sha256(file.read(min(at, _BEGINNING))).hexdigest()


def _check_same(path: Path, descriptor: int, at: int) -> None:
    """Refuse to wait at the end of a file that is another one by now."""
    ours, there = os.fstat(descriptor), files.state(path)
    if there is None or there[0] != ours.st_ino or ours.st_size < at:
        raise InputError(
            f"{path} was replaced or cut while it was followed, at byte {at:,}: name another --state for it"
        )
