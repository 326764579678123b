"""Everything a watch knows, in one SQLite file: what was read, counted and alerted changes together or not at all.

A batch of lines is one transaction: the place in the input, ids, windows, charts and alerts. A process that is killed
leaves the state of the batch before, from which the same lines make the same changes again.
"""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from innerloop.apps.text.watch.settings import differences
from innerloop.apps.text.watch.windows import Window
from innerloop.core import files
from innerloop.core.errors import FailedError, InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FORMAT = 1
_OURS = 0x696C7761
"""SQLite's application id of our files: "ilwa"."""
_CACHE = 64 << 10
"""KiB of pages in memory: ids come in no order."""
_SECONDS = 30.0
"""To wait for what sends alerts, which writes for a moment."""
_CHUNK = 500
_WITH_SENTENCES = 64
"""Closed windows that keep their sentences; alerts have their own."""
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE ids (id INTEGER PRIMARY KEY, content INTEGER NOT NULL, time INTEGER NOT NULL);
CREATE TABLE windows (
    start INTEGER PRIMARY KEY, counts TEXT NOT NULL, sentences TEXT, closed INTEGER UNIQUE, judged TEXT
);
CREATE TABLE alerts (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body TEXT NOT NULL, written INTEGER NOT NULL DEFAULT 0,
    printed INTEGER NOT NULL DEFAULT 0, sent INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0, error TEXT
);
"""


class HeldError(InputError):
    """Somebody else watches with the file."""


class State:
    """The file, held by one process at a time."""

    def __init__(self, path: str | Path, record: dict[str, Any], begins: bool | None = None):
        """Make it, or go on with it.

        Args:
            path: Of the file.
            record: What makes another watch of it: tasks, settings, input.
            begins: Whether it begins here, in place of what is there; False: it goes on, and is not made where there
                is none; None: either.

        Raises:
            HeldError: Another process watches with it.
            InputError: It was made by another watch, or is no such file; or there is none, and it is not to begin.
        """
        self.path = files.expanded(path)
        self._lock = _held(self.path)
        try:
            if begins:
                _wipe(self.path)
            elif begins is False and not self.path.exists():
                raise InputError(f"{self.path} is not there: nothing is watched with it")
            self.connection = connect(self.path)
            self.new = not self.connection.execute("PRAGMA application_id").fetchone()[0]
            self._prepare(record)
        except sqlite3.Error as error:
            self.close()
            raise InputError(f"{self.path} cannot be used as the state of a watch ({error}): name another") from error
        except InputError:
            self.close()
            raise

    def close(self) -> None:
        """Let others have it."""
        if "connection" in self.__dict__:
            self.connection.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """One transaction: all of it is on the disk when the block ends, or none.

        Raises:
            FailedError: It cannot be written.
        """
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise FailedError(
                f"{self.path} cannot be written ({error}): what was read since the last batch is read again next time"
            ) from error

    def get(self, key: str) -> Any:
        """A value that was kept; None: there is none."""
        row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, key: str, value: Any) -> None:
        """Keep a value."""
        self.connection.execute("REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def contents(self, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
        """What was said by events with these ids, and when, of those that are kept."""
        found: dict[int, tuple[int, int]] = {}
        for first in range(0, len(ids), _CHUNK):
            some = ids[first : first + _CHUNK]
            marks = ",".join("?" * len(some))
            rows = self.connection.execute(f"SELECT id, content, time FROM ids WHERE id IN ({marks})", some)
            found.update({id: (content, time) for id, content, time in rows})
        return found

    def remember(self, entries: Sequence[tuple[int, int, int]]) -> None:
        """Keep ids, with what was said and when."""
        self.connection.executemany("REPLACE INTO ids VALUES (?, ?, ?)", sorted(entries))

    def forget(self, before: int) -> None:
        """Let ids go of events before a time."""
        self.connection.execute("DELETE FROM ids WHERE time < ?", (before,))

    def open_windows(self) -> dict[int, Window]:
        """Those that take events."""
        rows = self.connection.execute("SELECT start, counts, sentences FROM windows WHERE closed IS NULL")
        return {row[0]: Window.of_row(*row) for row in rows}

    def is_closed(self, start: int) -> bool:
        """Whether a window is over."""
        row = self.connection.execute("SELECT 1 FROM windows WHERE start = ? AND closed IS NOT NULL", (start,))
        return row.fetchone() is not None

    def keep(self, windows: Sequence[Window]) -> None:
        """Keep windows that take events."""
        rows = [window.row() for window in windows]
        self.connection.executemany("REPLACE INTO windows (start, counts, sentences) VALUES (?, ?, ?)", rows)

    def shut(self, window: Window, number: int, judged: dict[str, Any]) -> None:
        """Keep a window that is over.

        Args:
            window: Which.
            number: In the order in which they are closed, from 1.
            judged: What was made of it.
        """
        self.connection.execute(
            "REPLACE INTO windows VALUES (?, ?, ?, ?, ?)", (*window.row(), number, json.dumps(judged))
        )
        old = number - _WITH_SENTENCES
        self.connection.execute("UPDATE windows SET sentences = NULL WHERE closed = ?", (old,))

    def closed_since(self, start: int, number: int, most: int) -> Iterator[Window]:
        """Windows before a number that begin no earlier than a time, the last first."""
        rows = self.connection.execute(
            "SELECT start, counts, sentences FROM windows WHERE start >= ? AND closed < ? ORDER BY closed DESC LIMIT ?",
            (start, number, most),
        )
        return (Window.of_row(*row) for row in rows.fetchall())

    def history(self, most: int) -> list[tuple[int, list[int], dict[str, Any]]]:
        """Start, counts and judgement of the last windows that are over, in the order in which they were closed."""
        rows = self.connection.execute(
            "SELECT start, counts, judged FROM windows WHERE closed IS NOT NULL ORDER BY closed DESC LIMIT ?", (most,)
        )
        return [(start, json.loads(counts), json.loads(judged)) for start, counts, judged in rows.fetchall()[::-1]]

    def add_alert(self, key: str, body: dict[str, Any]) -> int:
        """Keep an alert for all that it is to reach; its number, from 1."""
        number = self.connection.execute("SELECT coalesce(max(number), 0) + 1 FROM alerts").fetchone()[0]
        text = json.dumps({"number": number, "key": key} | body, ensure_ascii=False)
        self.connection.execute("INSERT INTO alerts (number, key, body) VALUES (?, ?, ?)", (number, key, text))
        return number

    def alerts(self, most: int) -> list[dict[str, Any]]:
        """The last ones, the oldest first."""
        rows = self.connection.execute("SELECT body FROM alerts ORDER BY number DESC LIMIT ?", (most,)).fetchall()
        return [json.loads(body) for (body,) in reversed(rows)]

    def _prepare(self, record: dict[str, Any]) -> None:
        c = self.connection
        if not self.new:
            ours = c.execute("PRAGMA application_id").fetchone()[0] == _OURS
            if not ours or c.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                raise InputError(f"{self.path} is no state of a watch of this release: name another file")
            if told := differences(self.get("record"), record):
                raise InputError(
                    f"{self.path} is of another watch: {'; '.join(told)}. Go on as before, or name another --state"
                )
            return
        if c.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise InputError(f"{self.path} is a database of something else: name another file")
        with self.change():
            for statement in _SCHEMA.split(";"):
                c.execute(statement)
            c.execute(f"PRAGMA application_id = {_OURS}")
            c.execute(f"PRAGMA user_version = {FORMAT}")
            self.put("record", record)


def remove(path: Path) -> None:
    """Overwrite and delete a state, whatever is in the file, with what people wrote.

    Raises:
        HeldError: Another process watches with it.
        InputError: It cannot be written.
    """
    lock = _held(path)
    try:
        _wipe(path)
    finally:
        if lock is not None:
            os.close(lock)


def connect(path: Path) -> sqlite3.Connection:
    """A connection whose commits are on the disk."""
    with files.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # what people wrote is not for everybody
    connection = sqlite3.connect(path, isolation_level=None, timeout=_SECONDS, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{_CACHE}")
    return connection


def _wipe(path: Path) -> None:
    """Overwrite and delete the file, and those that SQLite has beside it; the first one last, by which it is found."""
    for file in (*(path.with_name(f"{path.name}{more}") for more in ("-wal", "-shm")), path):
        with files.writing(file), contextlib.suppress(FileNotFoundError):
            with file.open("r+b") as opened:
                opened.write(b"\0" * file.stat().st_size)
                opened.flush()
                os.fsync(opened.fileno())
            file.unlink()


def _held(path: Path) -> int | None:
    """A lock that lasts as long as this process; beside the file, since closing it would undo SQLite's own locks."""
    if fcntl is None:
        return None
    place = path.with_name(f"{path.name}.lock")
    with files.writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise HeldError(f"another process watches with {path}: stop it, or name another --state") from error
    return handle
