"""Where predictions lie that several workers share: a file of one server's workers, or the store of several hosts."""

import contextlib
import json
import sqlite3
import time
from pathlib import Path

import numpy as np

from innerloop.core.files import expanded
from innerloop.service.http.adapted import Raw
from innerloop.service.http.recent import Asked, Recent
from innerloop.service.limits import Limits
from innerloop.service.settings import Settings
from innerloop.service.store import predictions
from innerloop.service.store.address import is_address
from innerloop.service.store.database import Database
from innerloop.service.store.errors import StoreError
from innerloop.service.store.files import make_private
from innerloop.service.store.predictions import Prediction

_FILE = "recent.sqlite"
_TABLE = (
    "CREATE TABLE IF NOT EXISTS recent (id TEXT PRIMARY KEY, task INTEGER, row BLOB, value BLOB, about TEXT, weight "
    "INTEGER)"
)
_INSERT = "INSERT INTO recent VALUES (?, ?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM recent WHERE "
_SHARE = 16
"""What is there is bounded when it may have grown by so many parts of what is allowed."""

_LATE = 0.2
"""Seconds in which a prediction reaches the store."""


class File:
    """A file of the workers of one server, which begins without any.

    Args:
        limits: How many, and of how many bytes together.
        folder: Where it lies.
    """

    def __init__(self, limits: Limits, folder: Path):
        self._limits, self._size, self._path = limits, limits.recent_mb * 1e6, folder / _FILE
        self._connection: sqlite3.Connection | None = None
        self._unweighed = 0

    def write(self, waiting: list[tuple[str, Asked]]) -> None:
        """Keep some; one thread calls it."""
        self._unweighed += sum(asked.weight for _, asked in waiting)
        try:
            c = self._connection = self._connection or self._connect()
            c.execute("BEGIN IMMEDIATE")
            c.executemany(_INSERT, [_written(*one) for one in waiting])
            c.execute(_DELETE + "rowid <= (SELECT max(rowid) FROM recent) - ?", (self._limits.recent,))
            if self._unweighed > self._size / _SHARE:  # it reads the whole table
                while c.execute("SELECT total(weight) FROM recent").fetchone()[0] > self._size:
                    c.execute(_DELETE + "rowid IN (SELECT rowid FROM recent ORDER BY rowid LIMIT 256)")
                self._unweighed = 0
            c.execute("COMMIT")
        except (sqlite3.Error, OSError):  # nothing that was acknowledged is lost
            self.close()

    def find(self, id: str) -> Asked | None:
        """One that is there."""
        query = "SELECT id, task, row, value, about, weight FROM recent WHERE id = ?"
        with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(self._connect()) as c:
            row = c.execute(query, (id,)).fetchone()
            return None if row is None else _read(Prediction(*row))
        return None

    def erase(self, task: int) -> bool:
        """Forget what was asked of a task; whether no byte of it is left."""
        with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(self._connect()) as c:
            c.execute(_DELETE + "task = ?", (task,))
            c.execute("VACUUM")
            return not c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return False

    def close(self) -> None:
        """Close it, until it is written to again."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _connect(self) -> sqlite3.Connection:
        make_private(self._path)
        connection = sqlite3.connect(self._path, timeout=5, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # a convenience: losing it costs nothing that was acknowledged
        connection.execute(_TABLE)
        return connection


class Rows:
    """Rows of the store, which all hosts that answer from it see.

    Args:
        limits: How many, and of how many bytes together.
        database: Of the store.
    """

    def __init__(self, limits: Limits, database: Database):
        self._limits, self._size, self._database = limits, limits.recent_mb * 1e6, database
        self._share = 0.0
        """Part of what is allowed that was written since it was last bounded."""

    def write(self, waiting: list[tuple[str, Asked]]) -> None:
        """Keep some; one thread calls it."""
        some = [_written(*one) for one in waiting]
        with contextlib.suppress(StoreError):
            try:
                predictions.keep(self._database, some)
            except StoreError:  # a task may have been deleted in this very moment
                predictions.keep(self._database, some)
        self._share += max(len(some) / self._limits.recent, sum(one.weight for one in some) / self._size)
        if self._share > 1 / _SHARE:
            with contextlib.suppress(StoreError):
                predictions.bound(self._database, self._limits.recent, self._size)
                self._share = 0.0

    def find(self, id: str) -> Asked | None:
        """One that is there."""
        with contextlib.suppress(StoreError):
            known = predictions.find(self._database, id)
            if known is None and self._database.shared:  # another host answered, and comes to write it just now
                time.sleep(_LATE)
                known = predictions.find(self._database, id)
            return None if known is None else _read(known)
        return None

    def erase(self, task: int) -> bool:
        """Forget what was asked of a task; the store overwrites its own bytes."""
        with contextlib.suppress(StoreError):
            predictions.forget(self._database, task)
            return True
        return False

    def close(self) -> None:
        """Nothing: others use the store."""


def recent(settings: Settings, database: Database) -> Recent:
    """The last predictions of a worker, and where it shares them with others.

    Args:
        settings: How it is run.
        database: Of its store.
    """
    rows, folder = Rows(settings.limits, database), folder_of(settings)
    if folder is not None:  # which the workers' parent has emptied: here it would be in use already
        file = File(settings.limits, folder)
        return Recent(settings.limits, file, rows, written=file)
    remove(database.beside)
    # One worker on a folder writes none: an answer costs it no write.
    return Recent(settings.limits, rows, written=rows if database.shared else None)


def folder_of(settings: Settings) -> Path | None:
    """Where the workers of a server share predictions in a file; None: there is one, or the store has them."""
    return None if settings.workers == 1 or is_address(settings.store) else expanded(settings.store)


def remove(folder: Path) -> None:
    """Delete what a server before kept: questions do not outlive who was asked."""
    for path in folder.glob(f"{_FILE}*"):
        path.unlink(missing_ok=True)


def _written(id: str, asked: Asked) -> Prediction:
    row, raw = asked.row, asked.raw
    # Features are the row itself. As JSON of ASCII and as bytes: any character is kept by any database.
    value = raw.value if isinstance(raw.value, bytes) else b""
    about = {"dtype": row.dtype.name, "shape": row.shape, "kind": raw.kind, "name": raw.name, "answer": asked.answer}
    if isinstance(raw.value, str):
        about["text"] = raw.value
    return Prediction(id, asked.task, row.tobytes(), value, json.dumps(about), asked.weight)


def _read(known: Prediction) -> Asked:
    about = json.loads(known.about)
    row = np.frombuffer(known.row, np.dtype(about["dtype"])).reshape(about["shape"])
    value = row.ravel().tolist() if about["kind"] == "features" else about.get("text", known.value)
    return Asked(known.task, row, Raw(about["kind"], value, about["name"]), about["answer"])
