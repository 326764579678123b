"""Predictions that feedback may refer to: in memory, and with several workers in a file that they share."""

import contextlib
import json
import os
import queue
import sqlite3
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from innerloop.core.files import expanded
from innerloop.fewshot.history import Label
from innerloop.service.http.adapted import Raw
from innerloop.service.http.cache import Cache, ticket
from innerloop.service.limits import Limits
from innerloop.service.settings import Settings
from innerloop.service.store.address import is_address
from innerloop.service.store.errors import BusyError
from innerloop.service.store.files import make_private

_FILE = "recent.sqlite"
SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Variable with a folder that is the workers' of one server alone, and goes with it."""
_TABLE = (
    "CREATE TABLE IF NOT EXISTS recent (id TEXT PRIMARY KEY, task INTEGER, row BLOB, dtype TEXT, shape TEXT, "
    "kind TEXT, value BLOB, name TEXT, answer TEXT, weight INTEGER)"
)
_INSERT = "INSERT INTO recent VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM recent WHERE "
_MOST = 256
"""Predictions of one transaction."""
_MOMENT = 0.05
"""Seconds in which they come together."""
_SHARE = 16
"""The bytes are weighed when they may have grown by so many parts of what is allowed."""

_PATIENCE = 10.0
"""Seconds until what waits is written."""


class Asked(NamedTuple):
    """What was asked in a prediction."""

    task: int
    row: np.ndarray
    raw: Raw
    answer: Label | None
    """The class that was answered; None: none of these."""

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
        # Ids, of what is in memory, which is bounded in bytes: where writing is slow, old ones are never written.
        self._queue: queue.Queue[str | threading.Event | None] = queue.Queue(limits.recent)
        self._thread = None
        if self._path is not None:
            self._thread = threading.Thread(target=self._write, name="recent", daemon=True)
            self._thread.start()

    def put(self, asked: Asked) -> str:
        """Keep one, and give it a name that nobody guesses."""
        id = ticket()
        self._kept.put(id, asked)
        if self._thread is not None:
            # An answer does not wait for the file: feedback to what is left out needs the worker that answered.
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait(id)
        return id

    def find(self, id: str, task: int) -> Asked | None:
        """What was asked, if it is remembered and was asked of this task."""
        asked = self._kept.find(id)
        if asked is None and self._path is not None:
            asked = self._shared(id)
        # One of another task is as good as none: the key may not be for that one.
        return asked if asked is not None and asked.task == task else None

    def erase(self, task: int) -> None:
        """Forget what was asked of a task, in memory and in the file.

        Raises:
            BusyError: The file is in use: it is to be done again.
        """
        self._kept.forget(lambda id, asked: asked.task == task)
        if self._path is None:
            return
        written, busy = threading.Event(), True
        # What waits is written first: afterwards it would be there again.
        with contextlib.suppress(sqlite3.Error, OSError, queue.Full):
            self._queue.put(written, timeout=_PATIENCE)
            if written.wait(_PATIENCE):
                with contextlib.closing(self._connect()) as c:
                    c.execute(_DELETE + "task = ?", (task,))
                    c.execute("VACUUM")
                    busy = c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise BusyError("what was asked of the task cannot be erased now, as it is in use: try again")

    def close(self) -> None:
        """Stop writing."""
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=1)
            self._thread.join(timeout=5)

    def _shared(self, id: str) -> Asked | None:
        query = "SELECT task, row, dtype, shape, kind, value, name, answer FROM recent WHERE id = ?"
        with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(self._connect()) as c:
            shared = c.execute(query, (id,)).fetchone()
            if shared is None:
                return None
            task, row, dtype, shape, kind, value, name, answer = shared
            shaped = np.frombuffer(row, np.dtype(dtype)).reshape(json.loads(shape))
            value = shaped.ravel().tolist() if kind == "features" else value
            return Asked(task, shaped, Raw(kind, value, name), answer)
        return None

    def _connect(self) -> sqlite3.Connection:
        assert self._path is not None
        make_private(self._path)
        connection = sqlite3.connect(self._path, timeout=5, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # a convenience: losing it costs nothing that was acknowledged
        connection.execute(_TABLE)
        return connection

    def _write(self) -> None:
        connection, unweighed, ended = None, 0, False
        while not ended:
            gathered = self._gather()
            ids = [id for id in gathered if isinstance(id, str)]
            waiting = [(id, asked) for id in ids if (asked := self._kept.find(id)) is not None]
            ended = gathered[-1] is None
            if waiting:
                connection, unweighed = self._insert(connection, waiting, unweighed)
            for written in gathered:
                if isinstance(written, threading.Event):
                    written.set()
        if connection is not None:
            connection.close()

    def _insert(
        self, connection: sqlite3.Connection | None, waiting: list[tuple[str, Asked]], unweighed: int
    ) -> tuple[sqlite3.Connection | None, int]:
        """Write what waits; returns the connection, and the bytes since the file was last weighed."""
        unweighed += sum(asked.weight for _, asked in waiting)
        try:
            connection = connection or self._connect()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_INSERT, [_row(*w) for w in waiting])
            connection.execute(_DELETE + "rowid <= (SELECT max(rowid) FROM recent) - ?", (self._limits.recent,))
            if unweighed > self._size / _SHARE:  # it reads the whole table
                self._shrink(connection)
                unweighed = 0
            connection.execute("COMMIT")
        except (
            sqlite3.Error,
            OSError,
        ):  # feedback to these needs the worker that answered; nothing acknowledged is lost
            if connection is not None:
                connection.close()
            connection = None
        return connection, unweighed

    def _gather(self) -> list[str | threading.Event | None]:
        """What waits, a moment after the first came; None stands at the end of everything."""
        waiting = [self._queue.get()]
        if isinstance(waiting[0], str):
            time.sleep(_MOMENT)
        with contextlib.suppress(queue.Empty):
            while waiting[-1] is not None and len(waiting) < _MOST:
                waiting.append(self._queue.get_nowait())
        return waiting

    def _shrink(self, connection: sqlite3.Connection) -> None:
        while connection.execute("SELECT total(weight) FROM recent").fetchone()[0] > self._size:
            connection.execute(_DELETE + "rowid IN (SELECT rowid FROM recent ORDER BY rowid LIMIT 256)")


def shared_folder(settings: Settings) -> Path | None:
    """Where the workers of a server share predictions; None: there is one worker."""
    if settings.workers == 1:
        return None
    # Two servers on one machine may share a store in PostgreSQL, and each begins without predictions.
    return Path(os.environ[SHARED]) if is_address(settings.store) else expanded(settings.store)


def remove(folder: Path) -> None:
    """Delete what a server before kept: questions do not outlive who was asked."""
    for path in folder.glob(f"{_FILE}*"):
        path.unlink(missing_ok=True)


def _row(id: str, asked: Asked) -> tuple[object, ...]:
    row, raw = asked.row, asked.raw
    value = None if raw.kind == "features" else raw.value
    about = (json.dumps(row.shape), raw.kind, value, raw.name, asked.answer, asked.weight)
    return id, asked.task, row.tobytes(), row.dtype.name, *about
