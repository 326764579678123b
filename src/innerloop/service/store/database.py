"""What a store needs of a database, whichever it is: SQLite in a folder, or PostgreSQL at an address.

The SQL of a store is written once, in what both understand after `dialect` has put a few words differently.
"""

import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from innerloop.service.store.address import is_address

T = TypeVar("T")


class Row(Protocol):
    """A row, by number or by the name of a column; `dict` makes one of it."""

    def keys(self) -> Iterable[str]:
        """Names of its columns."""
        ...

    def __getitem__(self, key: Any, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


class Cursor(Protocol):
    """What a statement came to."""

    @property
    def lastrowid(self) -> int | None:
        """Id of the row that was inserted."""
        ...

    @property
    def description(self) -> Any:
        """For each column something that begins with its name."""
        ...

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        ...

    def fetchone(self) -> Any:
        """The next row; None: there is none."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """Runs statements of SQLite's dialect, with ? for values."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor:
        """Run a statement."""
        ...

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Any:
        """Run a statement that gives no rows for each of many values."""
        ...


class Database(Protocol):
    """Connections to one store, for many threads; what was committed survives the process and the power."""

    @property
    def name(self) -> str:
        """What messages call it: a path, or an address without its password."""
        ...

    @property
    def instant(self) -> bool:
        """Whether a row is read without waiting for another program."""
        ...

    @property
    def shared(self) -> bool:
        """Whether several hosts may have it."""
        ...

    @property
    def beside(self) -> Path:
        """Folder on this machine for what goes with a store and is not in it, such as watches."""
        ...

    def reading(self, wait: bool = True) -> AbstractContextManager[Connection]:
        """A connection for statements that change nothing.

        Args:
            wait: Whether it may take a moment where somebody else holds the store.

        Raises:
            BusyError: Somebody does.
            StoreError: It cannot be read.
        """
        ...

    def snapshot(self) -> AbstractContextManager[Connection]:
        """The same, whose statements all see one state."""
        ...

    def writing(self) -> AbstractContextManager[Connection]:
        """A connection in a transaction: it is committed, on the disk, when the block ends; an error undoes it.

        Changes of all processes come one after the other.

        Raises:
            BusyError: Its time was over before it could be committed.
            LostError: There is nothing left to commit to.
            StoreError: It cannot be written.
        """
        ...

    def noting(self, alone: bool = False) -> AbstractContextManager[Connection]:
        """The same for what may be lost with the power, and is no change: it waits for no turn where it need not.

        Args:
            alone: Whether it is a single statement, on what is not logged and may be lost with the server as well.

        Raises:
            BusyError: It cannot be had in a moment.
            StoreError: It cannot be written.
        """
        ...

    def change(self, work: Callable[[Connection], T]) -> T:
        """The result of a change in such a transaction; it may be begun anew, where that can help."""
        ...

    def check(self) -> None:
        """Refuse to go on where the store is not that any more which was opened, with a `LostError`."""
        ...

    def examine(self) -> None:
        """Have the store looked at as a whole.

        Raises:
            BusyError: Somebody locks it.
            LostError: It is damaged; nothing is changed any more.
        """
        ...

    def scrub(self) -> None:
        """Leave nothing in the store's own files of what was erased since this was last done.

        Raises:
            BusyError: Somebody holds the store: it is to be done again.
            StoreError: It cannot be written.
        """
        ...

    def numbers(self, c: Connection) -> dict[str, int]:
        """The last number that each table of `schema.COUNTED` has given to a row, on a connection."""
        ...

    def set_numbers(self, c: Connection, numbers: Mapping[str, int]) -> None:
        """Have each table go on behind such a number, on a connection in a transaction."""
        ...

    def listen(self, told: Callable[[int], None], ended: threading.Event) -> None:
        """Be told of changes until the end, where the database tells; whoever looks at versions need not be.

        Args:
            told: Called with the id of a task that is another since.
            ended: Ends it.
        """
        ...

    def close(self) -> None:
        """Close all connections that are not in use; the next use opens others."""
        ...


def opened(where: str | Path, seconds: float = 10.0) -> Database:
    """The database of a store, with the tables of today and what earlier releases kept beside it.

    Args:
        where: Folder of `store.sqlite`, made if it is not there, or postgresql://...
        seconds: For one change, from waiting for its turn to the commit.

    Raises:
        InputError: It cannot be used.
    """
    from innerloop.service.store import annotations

    if is_address(where):
        from innerloop.service.store.postgres import Postgres

        database: Database = Postgres(str(where), seconds)
    else:
        from innerloop.service.store.sqlite import SQLite

        database = SQLite(where, seconds)
    annotations.take_in(database)
    return database


def is_there(where: str | Path) -> bool:
    """Whether there is a store; in PostgreSQL it is made where the database is, so that there is always one."""
    if is_address(where):
        return True
    from innerloop.service.store import sqlite

    return sqlite.is_there(where)


def check_there(where: str | Path) -> None:
    """Refuse to look for a store where there is none, with an `InputError`."""
    from innerloop.service.store import dumps, sqlite

    if is_address(where):
        dumps.check_there(str(where))
    else:
        sqlite.check_there(where)


def leave_bytes(c: Connection) -> None:
    """Note in a change that it erases something forever, of which `Database.scrub` is to overwrite what is left."""
    # By chance, as no two may be alike: whoever scrubs sees by it whether something else was erased meanwhile. Odd,
    # because 0 says that all is overwritten.
    c.execute("UPDATE totals SET unscrubbed = ?", (secrets.randbits(62) | 1,))
