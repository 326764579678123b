"""A store in one file of SQLite: its connections, one transaction a change."""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from queue import Empty, LifoQueue
from typing import TypeVar
from urllib.parse import quote

from innerloop.core.errors import InputError
from innerloop.core.files import expanded, is_file
from innerloop.service.stages import stage
from innerloop.service.store.database import Connection
from innerloop.service.store.errors import BusyError, LostError, StoreError
from innerloop.service.store.files import Watched, make_private
from innerloop.service.store.schema import COUNTED
from innerloop.service.store.sqlite_tables import migrate, version_of

T = TypeVar("T")
_LOG = logging.getLogger("innerloop.service")

FILE = "store.sqlite"
"""In the folder of a store."""
_READ_SECONDS = 0.5
"""A read waits for nobody but who locks the whole file."""
_STEPS = 10_000
"""Instructions of SQLite between two looks at the clock."""
_SHOWN = 200
"""Characters of what SQLite says."""
_BUSY = "the store is busy: try again"
_STILL = "what was erased is shown to nobody, but its bytes are still in the files of the store: it is busy, try again"


def is_there(folder: str | Path) -> bool:
    """Whether a folder has a store."""
    return is_file(expanded(folder) / FILE)


def check_there(folder: str | Path) -> None:
    """Refuse a folder without a store: whoever looks for one there has mistyped its name, and wants no empty one.

    Raises:
        InputError: There is none.
    """
    if not is_there(folder):
        raise InputError(f"there is no store in {folder}: give the folder that `innerloop serve --store` was given")


class SQLite:
    """A `database.Database` in a folder.

    Write-ahead logging with a sync on every commit: what was committed survives the process and the power. Changes go
    one after another over one connection, which stays open: as long as it is, no other process deletes the log.

    Args:
        folder: Where `store.sqlite` lies; made if it is not there.
        seconds: For one change, from waiting for its turn to the commit.

    Raises:
        InputError: It cannot be used.
    """

    instant, shared = True, False

    def __init__(self, folder: str | Path, seconds: float = 10.0):
        self.path = expanded(folder) / FILE
        self.name, self.beside = str(self.path), self.path.parent
        self._seconds = seconds
        # The one that was used last comes first: its pages are still in memory.
        self._idle: LifoQueue[sqlite3.Connection] = LifoQueue()
        # Apart, because how long a connection waits for a lock is set when it is opened.
        self._instant: LifoQueue[sqlite3.Connection] = LifoQueue()
        self._turn = threading.Lock()
        self._lost: LostError | None = None
        self._writer: sqlite3.Connection | None = None
        try:
            # Before SQLite makes its other files, which take their mode from this one.
            make_private(self.path)
            self._prepare()
            self._open()
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"the store {self.path} cannot be opened ({error}): give a folder that can be written, or restore a "
                "backup"
            ) from error

    @contextlib.contextmanager
    def reading(self, wait: bool = True) -> Iterator[sqlite3.Connection]:
        """A connection for statements that change nothing.

        Args:
            wait: Whether it may take a moment where somebody else holds the store.

        Raises:
            BusyError: Somebody does.
            StoreError: It cannot be read.
        """
        with stage("store read"), self._explained(), self._reader(wait) as connection:
            yield connection

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A connection whose statements all see the same state."""
        with self.reading() as connection:
            # Without it every statement sees what was committed last, and a task would not fit to its members.
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def noting(self, alone: bool = False) -> Iterator[sqlite3.Connection]:
        """The same: all that is written to the file is written one after another."""
        with self.writing() as connection:
            yield connection

    def change(self, work: Callable[[Connection], T]) -> T:
        """The result of a change, made in `writing`."""
        with self.writing() as connection:
            return work(connection)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction: it is committed, on the disk, when the block ends; an error undoes it.

        Raises:
            BusyError: Its time was over before it could be committed.
            LostError: There is nothing left to commit to.
            StoreError: It cannot be written.
        """
        # Before the wait for the turn: a client is promised a time for all of it.
        deadline = time.monotonic() + self._seconds
        with stage("store write"):
            self.check()
            if not self._turn.acquire(timeout=self._seconds):
                raise BusyError(_BUSY)
            try:
                with self._explained():
                    yield from self._transaction(deadline)
            finally:
                self._turn.release()

    def check(self) -> None:
        """Refuse to go on where the files are not those any more that were opened; it takes three looks at a folder.

        Raises:
            LostError: So it is, or was before.
        """
        # After `close`: whoever uses the store again opens it again.
        if self._writer is None and self._lost is None:
            with self._explained():
                self._open()
        if self._lost is None:
            try:
                self._files.check()
            except LostError as error:
                self.lose(error)
        if self._lost is not None:
            raise self._lost

    def examine(self) -> None:
        """Have every page looked at, over a connection of its own, as a disk may have lost some.

        Raises:
            BusyError: Somebody locks the store.
            LostError: It is damaged; nothing is changed any more.
        """
        self.check()
        # Not over the writer: to read every page takes seconds, and changes go on meanwhile.
        with self._explained(), contextlib.closing(self._connect(self._seconds)) as connection:
            faults = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
        if faults != ["ok"]:
            self.lose(self._damage(faults[0]))
            self.check()

    def scrub(self) -> None:
        """Leave nothing in any file of what was erased since this was last done.

        Pages that were freed, and the rest of pages that were split, keep what was in them, so all are written anew.

        Raises:
            BusyError: Somebody reads the store, or changes it: it is to be done again.
            StoreError: It cannot be written.
        """
        self.check()
        if not self._turn.acquire(timeout=self._seconds):
            raise BusyError(_STILL)
        try:
            with self._explained():
                c = self._taken()
                # The last change left there what was left of its own time.
                c.execute(f"PRAGMA busy_timeout = {int(1000 * self._seconds)}")
                erased = c.execute("SELECT unscrubbed FROM totals").fetchone()[0]
                if not erased:
                    return
                c.execute("VACUUM")
                # New pages are in the log: old ones go once it is copied and cut, which anybody who reads prevents.
                if c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    raise BusyError(_BUSY)
                # Another worker may have erased one more meanwhile, which these pages may still have had.
                c.execute("UPDATE totals SET unscrubbed = 0 WHERE unscrubbed = ?", (erased,))
                self.check()
        except BusyError as error:
            raise BusyError(_STILL) from error
        finally:
            self._turn.release()

    def lose(self, error: LostError) -> None:
        """Have nothing changed any more."""
        if self._lost is None:
            _LOG.error("%s", error)
        self._lost = error

    def numbers(self, c: Connection) -> dict[str, int]:
        """The last number that each table has given to a row."""
        return dict.fromkeys(COUNTED, 0) | dict(c.execute("SELECT name, seq FROM sqlite_sequence").fetchall())

    def set_numbers(self, c: Connection, numbers: Mapping[str, int]) -> None:
        """Have each table go on behind such a number."""
        c.execute("DELETE FROM sqlite_sequence")
        c.executemany("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", list(numbers.items()))

    def listen(self, told: Callable[[int], None], ended: threading.Event) -> None:
        """Nothing: SQLite tells nobody, and to look at a version takes as long as to be told."""

    def close(self) -> None:
        """Close all connections that are not in use; the next use opens others."""
        for queue in (self._idle, self._instant):
            with contextlib.suppress(Empty):
                while True:
                    queue.get_nowait().close()
        with self._turn:
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _taken(self) -> sqlite3.Connection:
        """The connection that changes go over, to whom the turn is; a thread that closes may have been first."""
        if self._writer is None:
            raise self._lost or BusyError(_BUSY)
        return self._writer

    def _open(self) -> None:
        with self._turn:
            if self._writer is None:
                writer = self._connect(self._seconds)
                writer.execute("SELECT count(*) FROM sqlite_master").fetchone()  # so that all files are there
                # Before the writer, whose presence tells `check`, which waits for no turn, that files are known.
                self._files = Watched(self.path)
                self._writer = writer

    def _transaction(self, deadline: float) -> Iterator[sqlite3.Connection]:
        connection = self._taken()
        left = max(0, int(1000 * (deadline - time.monotonic())))
        connection.execute(f"PRAGMA busy_timeout = {left}")
        # A statement that takes long has no other end.
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        try:
            # A transaction that reads first is refused when another worker has written before it does.
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            # SQLite would commit into a deleted file as well; nothing that is known to be lost is written.
            self.check()
            # The handler is asked by SQLite alone, and the work in between takes time too.
            if time.monotonic() > deadline:
                raise BusyError(_BUSY)
            connection.execute("COMMIT")
            self.check()  # what went into a file that was deleted meanwhile is not acknowledged
        finally:
            connection.set_progress_handler(None, 0)
            # After some errors, such as a full disk, SQLite has rolled back itself.
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _connect(self, seconds: float) -> sqlite3.Connection:
        # mode=rw: where the file was deleted, an empty one must not take its place.
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode=rw",
            uri=True,
            timeout=seconds,
            # The module would begin transactions of its own, which are not immediate.
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        connection.row_factory = sqlite3.Row
        # Off by default, on every connection; what belongs to a deleted task goes by it.
        connection.execute("PRAGMA foreign_keys = ON")
        # Less would lose the last commits with the power, where there is a log.
        connection.execute("PRAGMA synchronous = FULL")
        # A store may come from elsewhere: its triggers and views may call nothing that has effects.
        connection.execute("PRAGMA trusted_schema = OFF")
        # 64 MiB: without a limit the log stays as large as it ever was.
        connection.execute("PRAGMA journal_size_limit = 67108864")
        return connection

    @contextlib.contextmanager
    def _reader(self, wait: bool) -> Iterator[sqlite3.Connection]:
        queue = self._idle if wait else self._instant
        try:
            connection = queue.get_nowait()
        except Empty:
            connection = self._fresh(_READ_SECONDS if wait else 0.0)
        # The files are gone; the open connection still sees all that was acknowledged.
        if connection is None:
            with self._turn:
                yield self._taken()
            return
        try:
            yield connection
        except sqlite3.Error:  # what state it is in nobody knows
            connection.close()
            raise
        # A refusal of ours leaves the connection as it was.
        except BaseException:
            queue.put(connection)
            raise
        queue.put(connection)

    def _fresh(self, seconds: float) -> sqlite3.Connection | None:
        """Another connection; None: it would not show what is open, which has all that was acknowledged."""
        if not self._same():
            return None
        connection = self._connect(seconds)
        # Files may have been replaced between the look and the opening.
        if self._same():
            return connection
        connection.close()
        return None

    def _same(self) -> bool:
        try:
            self.check()
        except LostError:
            return False
        return True

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            # Extended codes have the plain one in their lowest byte.
            code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT):
                raise BusyError(_BUSY) from error
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                lost = self._damage(error)
                self.lose(lost)
                raise lost from error
            if isinstance(error, sqlite3.OperationalError):
                raise StoreError(
                    f"the store cannot be used now ({error}): nothing was changed; see to the disk that it lies on"
                ) from error
            raise StoreError(f"the store refused ({error}): nothing was changed") from error

    def _damage(self, fault: object) -> LostError:
        what = " ".join(str(fault).split())[:_SHOWN]
        return LostError(
            f"the store {self.path} is damaged ({what}): nothing is changed any more; stop the service and restore a "
            f"backup, or save what can be read with `sqlite3 {self.path} .recover`"
        )

    def _prepare(self) -> None:
        with contextlib.closing(self._connect(self._seconds)) as connection:
            version_of(connection, self.path)
            # Outside of the transaction, in which it cannot be changed; the file remembers it.
            connection.execute("PRAGMA journal_mode = WAL")
            # The version is read again under the lock: several workers start at once, and one of them migrates.
            connection.execute("BEGIN IMMEDIATE")
            migrate(connection)
            connection.execute("COMMIT")
