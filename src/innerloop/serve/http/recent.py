"""Predictions that feedback may refer to: in memory, and with several workers in a file that they share."""

import contextlib
import json
import queue
import sqlite3
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np

from innerloop.serve.http.cache import Cache, ticket
from innerloop.serve.http.limits import Limits
from innerloop.serve.http.tasks import Raw

_FILE = "recent.sqlite"
_TABLE = (
    "CREATE TABLE IF NOT EXISTS recent (id TEXT PRIMARY KEY, task INTEGER, row BLOB, dtype TEXT, shape TEXT, "
    "kind TEXT, value BLOB, name TEXT, weight INTEGER)"
)


class Asked(NamedTuple):
    """What was asked in a prediction."""

    task: int
    row: np.ndarray
    raw: Raw

    @property
    def weight(self) -> int:
        """Bytes it takes."""
        value = self.raw.value
        return self.row.nbytes + 500 + (len(value) if isinstance(value, bytes | str) else 0)


class Recent:
    """The last predictions; older ones are forgotten.

    Args:
        limits: How many, and of how many bytes together.
        folder: Where workers share them; None: there is one worker.
    """

    def __init__(self, limits: Limits, folder: Path | None = None):
        self._limits, self._size = limits, limits.recent_mb * 1e6
        self._kept: Cache[Asked] = Cache(limits.recent, self._size, lambda asked: asked.weight)
        self._path = None if folder is None else folder / _FILE
        self._queue: queue.Queue[tuple[str, Asked] | None] = queue.Queue(limits.recent)
        self._thread = None
        if self._path is not None:
            self._thread = threading.Thread(target=self._write, name="recent", daemon=True)
            self._thread.start()

    def put(self, asked: Asked) -> str:
        """Keep one, and give it a name that nobody guesses."""
        id = ticket()
        self._kept.put(id, asked)
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait((id, asked))
        return id

    def find(self, id: str, task: int) -> Asked | None:
        """What was asked, if it is remembered and was asked of this task."""
        found = self._kept.find(id)
        if found is None and self._path is not None:
            found = self._shared(id)
        return found if found is not None and found.task == task else None

    def close(self) -> None:
        """Stop writing."""
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=1)
            self._thread.join(timeout=5)

    def _shared(self, id: str) -> Asked | None:
        query = "SELECT task, row, dtype, shape, kind, value, name FROM recent WHERE id = ?"
        with contextlib.suppress(sqlite3.Error), contextlib.closing(self._connect()) as c:
            found = c.execute(query, (id,)).fetchone()
            if found is None:
                return None
            task, row, dtype, shape, kind, value, name = found
            shaped = np.frombuffer(row, np.dtype(dtype)).reshape(json.loads(shape))
            value = shaped.ravel().tolist() if kind == "features" else value
            return Asked(task, shaped, Raw(kind, value, name))
        return None

    def _connect(self) -> sqlite3.Connection:
        assert self._path is not None
        connection = sqlite3.connect(self._path, timeout=5, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # a convenience: losing it costs nothing that was acknowledged
        connection.execute(_TABLE)
        return connection

    def _write(self) -> None:
        while (first := self._queue.get()) is not None:
            waiting = [first]
            with contextlib.suppress(queue.Empty):
                while len(waiting) < 256 and (another := self._queue.get_nowait()) is not None:
                    waiting.append(another)
            with contextlib.suppress(sqlite3.Error), contextlib.closing(self._connect()) as c:
                c.execute("BEGIN IMMEDIATE")
                c.executemany("INSERT INTO recent VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", [_row(*w) for w in waiting])
                old = "DELETE FROM recent WHERE rowid <= (SELECT max(rowid) FROM recent) - ?"
                c.execute(old, (self._limits.recent,))
                while c.execute("SELECT total(weight) FROM recent").fetchone()[0] > self._size:
                    gone = "DELETE FROM recent WHERE rowid IN (SELECT rowid FROM recent ORDER BY rowid LIMIT 256)"
                    c.execute(gone)
                c.execute("COMMIT")


def _row(id: str, asked: Asked) -> tuple[object, ...]:
    row, raw = asked.row, asked.raw
    value = None if raw.kind == "features" else raw.value
    return id, asked.task, row.tobytes(), row.dtype.name, json.dumps(row.shape), raw.kind, value, raw.name, asked.weight
