"""Alerts on their way out: each is kept with what it was made of, and goes to a file and to people from there.

The file is written at places that follow from the alerts before, so that one which was half-written when the process
was killed is written again over itself: it holds every alert once. What was printed or posted cannot be taken back: a
process that is killed between saying an alert and keeping that it was said says it again, with the same key.
"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from innerloop.core import files
from innerloop.core.errors import InputError

_LONGEST = 1 << 20
"""Bytes of a line that are looked at."""
_PLACES = "SELECT coalesce(sum(length(CAST(body AS BLOB)) + 1), 0) FROM alerts WHERE number < ?"


class AlertFile:
    """JSONL with one alert a line."""

    def __init__(self, connection: sqlite3.Connection, path: str | Path):
        """Look at what is there.

        Args:
            connection: To the state.
            path: Of the file.

        Raises:
            InputError: It holds something else than alerts of this watch, or cannot be written.
        """
        self._connection, self._path = connection, files.expanded(path)
        with files.writing(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as file:
                size = file.tell()
                file.seek(0)
                begins = file.readline(_LONGEST)
        first = connection.execute("SELECT body FROM alerts WHERE number = 1").fetchone()
        if begins and (first is None or not (first[0].encode() + b"\n").startswith(begins)):
            raise InputError(f"{self._path} holds something else than alerts of this watch: name another file")
        if size < self._place_of(self._first_unwritten()):
            connection.execute("UPDATE alerts SET written = 0")  # somebody emptied or removed it, or it is a new one

    def write(self) -> None:
        """Add what is not in the file yet."""
        first = self._first_unwritten()
        rows = self._connection.execute(
            "SELECT number, body FROM alerts WHERE number >= ? ORDER BY number", (first,)
        ).fetchall()
        if not rows:
            return
        place = self._place_of(first)
        with files.writing(self._path):
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            with os.fdopen(handle, "r+b") as file:
                file.truncate(place)
                file.seek(place)
                file.write(b"".join(body.encode() + b"\n" for _, body in rows))
                file.flush()
                os.fsync(file.fileno())
        self._connection.execute("UPDATE alerts SET written = 1 WHERE number <= ?", (rows[-1][0],))

    def _first_unwritten(self) -> int:
        row = self._connection.execute("SELECT min(number) FROM alerts WHERE written = 0").fetchone()
        if row[0] is not None:
            return row[0]
        return self._connection.execute("SELECT coalesce(max(number), 0) + 1 FROM alerts").fetchone()[0]

    def _place_of(self, number: int) -> int:
        return self._connection.execute(_PLACES, (number,)).fetchone()[0]


def say(connection: sqlite3.Connection, tell: Callable[[str], None]) -> None:
    """Tell every alert that was not told.

    Args:
        connection: To the state.
        tell: Called with each alert, JSON.
    """
    rows = connection.execute("SELECT number, body FROM alerts WHERE printed = 0 ORDER BY number").fetchall()
    for number, body in rows:
        tell(body)
        connection.execute("UPDATE alerts SET printed = 1 WHERE number = ?", (number,))
