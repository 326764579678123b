"""The SQLite file of a store: its tables, its connections, one transaction a change."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, LifoQueue

from innerloop.core.errors import InputError
from innerloop.service.store.errors import StoreError

SCHEMA = 2
_OURS = 0x696C6F70
"""SQLite's application id of our files: "ilop"."""
_FILE = "store.sqlite"
_BUSY_SECONDS = 15.0
_FILES = "CREATE TABLE files (hash TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT"
_TABLES = f"""
{_FILES};
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    reject REAL,
    created TEXT NOT NULL,
    version INTEGER NOT NULL,
    dtype TEXT,
    shape TEXT,
    reading TEXT,
    file TEXT REFERENCES files (hash)
) STRICT;
CREATE TABLE versions (
    task INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    time TEXT NOT NULL,
    action TEXT NOT NULL,
    classes INTEGER NOT NULL,
    examples INTEGER NOT NULL,
    undo INTEGER,
    redo TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (task, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE examples (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    row BLOB NOT NULL,
    text TEXT,
    picture BLOB,
    mime TEXT,
    added TEXT NOT NULL
) STRICT;
CREATE INDEX examples_of_task ON examples (task);
CREATE TABLE members (
    task INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    example INTEGER NOT NULL REFERENCES examples (id) ON DELETE CASCADE,
    label TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    PRIMARY KEY (task, example, since)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_of_example ON members (example);
CREATE INDEX members_now ON members (task, label, example) WHERE until IS NULL;
CREATE TABLE keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    scope TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    created TEXT NOT NULL,
    revoked TEXT
) STRICT;
"""
"""An example is a member of the versions `since` <= v < `until` (NULL: of all later ones). Nothing else is ever changed
in a row, so what a version holds stays true whatever comes after. A task that came as a `.fewshot` file has its learner
in `files`."""
_FROM_1 = (
    _FILES,
    "ALTER TABLE tasks ADD COLUMN reading TEXT",
    "ALTER TABLE tasks ADD COLUMN file TEXT REFERENCES files (hash)",
    "ALTER TABLE versions ADD COLUMN undo INTEGER",
    "ALTER TABLE versions ADD COLUMN redo TEXT NOT NULL DEFAULT '[]'",
    "UPDATE versions SET undo = version - 1 WHERE version > 1",
)
"""What makes a store of release 0.1.0 one of today; how its examples are read was not decided (`Reading()`)."""


class Database:
    """Connections to one store, for many threads.

    Write-ahead logging with a sync on every commit: what was committed survives the process and the power.
    """

    def __init__(self, folder: str | Path):
        self.path = Path(folder).expanduser() / _FILE
        self._idle: LifoQueue[sqlite3.Connection] = LifoQueue()
        self._writing = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"the store {self.path} cannot be opened ({error}): give a folder that can be written, or restore a "
                "backup"
            ) from error

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for statements that change nothing."""
        with self._explained(), self._connection() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction: it is committed, on the disk, when the block ends; an error undoes it."""
        with self._explained(), self._writing, self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close all connections that are not in use."""
        with contextlib.suppress(Empty):
            while True:
                self._idle.get_nowait().close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        return connection

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = self._connect()
        try:
            yield connection
        except sqlite3.Error:  # what state it is in nobody knows
            connection.close()
            raise
        except BaseException:
            self._idle.put(connection)
            raise
        self._idle.put(connection)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise StoreError("the store is busy: try again") from error
            raise StoreError(
                f"the store cannot be used now ({error}): nothing was changed; see to the disk that it lies on"
            ) from error
        except sqlite3.DatabaseError as error:
            raise StoreError(f"the store is damaged ({error}): nothing was changed; restore a backup") from error

    def _prepare(self) -> None:
        connection = self._connect()
        try:
            known = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables and known != _OURS:
                raise InputError(f"{self.path} is another program's database: give another folder")
            if version > SCHEMA:
                raise InputError(
                    f"the store {self.path} is of version {version} and this release knows {SCHEMA}: update innerloop"
                )
            connection.execute("PRAGMA journal_mode = WAL")
            # The version is read again under the lock: several workers start at once, and one of them migrates.
            connection.execute("BEGIN IMMEDIATE")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version < SCHEMA:
                for statement in _FROM_1 if version else _TABLES.strip().rstrip(";").split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {_OURS}")
                connection.execute(f"PRAGMA user_version = {SCHEMA}")
            connection.execute("COMMIT")
        finally:
            connection.close()
