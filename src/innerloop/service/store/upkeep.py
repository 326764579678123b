"""What is done with a store as a whole, beside serving it: bringing it up to date, and backing it up."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from innerloop.core.errors import FailedError, InputError
from innerloop.core.files import expanded, writing
from innerloop.service.store import dumps, sqlite, sqlite_tables
from innerloop.service.store.address import is_address
from innerloop.service.store.files import ANNOTATIONS, make_private
from innerloop.service.store.schema import Migration

_SECONDS = 10
"""To wait for whoever holds the store."""
_WATCHES = "watches"


class Backup(NamedTuple):
    """What was written."""

    path: Path
    version: int
    """The version of the store's tables."""
    tasks: int
    bytes: int


def migrate(where: str | Path, dry: bool = False) -> tuple[int, tuple[Migration, ...]]:
    """Bring a store up to date, all of it or nothing; serving it does so as well.

    Args:
        where: Folder or address of the store.
        dry: Whether all is tried, and then taken back.

    Returns:
        The version that it had, and what was between that and the one of today.

    Raises:
        InputError: There is none, it is another program's, or of a newer release.
        FailedError: It cannot be done now; the store is as it was.
    """
    if is_address(where):
        return dumps.migrate(str(where), dry)
    with _opened(where) as (c, path):
        version = sqlite_tables.version_of(c, path)
        c.execute("BEGIN IMMEDIATE")
        try:
            done = sqlite_tables.migrate(c)
            lost = c.execute("PRAGMA foreign_key_check").fetchall()
            if done and lost:
                raise FailedError(f"the store {path} has {len(lost)} rows that belong to nothing: restore a backup")
            c.execute("ROLLBACK" if dry else "COMMIT")
        finally:
            if c.in_transaction:
                c.execute("ROLLBACK")
    return version, done


def backup(where: str | Path, out: str | Path) -> Backup:
    """Copy a store while it is served: what was committed when this began, with its watches.

    Args:
        where: Folder or address of the store.
        out: Folder that the copy is to be, itself a store; it may not be there yet, or be empty. Of a store in
            PostgreSQL, a new file that `pg_restore` reads, without these.

    Raises:
        InputError: There is no store, or something is in the way.
        FailedError: The store is damaged, or the disk is full; nothing is left of the copy.
    """
    target = expanded(out)
    if is_address(where):
        return Backup(target, *dumps.dump(str(where), target))
    sqlite.check_there(where)
    if os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir())):
        raise InputError(f"{target} is there already: give a new folder, so that no backup is written over")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name[:50]}."))
    try:
        with _opened(where) as (c, path):
            version = sqlite_tables.version_of(c, path)
            # Of a release before, if the store was not served since: whoever serves the copy takes it in.
            for learned in path.parent.glob(ANNOTATIONS):
                _copy_file(learned, made / ANNOTATIONS)
            _copy(c, made / path.name)
            for watch in sorted((path.parent / _WATCHES).glob("*.sqlite")):
                _copy_file(watch, made / _WATCHES / watch.name)
        with contextlib.closing(sqlite3.connect(made / path.name)) as c:
            tasks = c.execute("SELECT count(*) FROM tasks").fetchone()[0] if version else 0
        with writing(target):
            os.replace(made, target)  # whole or not at all
    finally:
        shutil.rmtree(made, ignore_errors=True)
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    return Backup(target, version, tasks, size)


def _copy_file(source: Path, path: Path) -> None:
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as one:
        _copy(one, path)


def _copy(source: sqlite3.Connection, path: Path) -> None:
    make_private(path)
    with contextlib.closing(sqlite3.connect(path)) as copied:
        # All pages in one transaction that only reads: whoever changes the store meanwhile neither waits nor begins it
        # anew.
        source.backup(copied)
        # One file, that may be copied as it is; who serves it has a log again.
        copied.execute("PRAGMA journal_mode = DELETE")
        faults = [row[0] for row in copied.execute("PRAGMA quick_check(1)")]
    if faults != ["ok"]:
        raise FailedError(f"{path.name} is damaged ({faults[0]}): nothing was written; restore an earlier backup")
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def _opened(where: str | Path) -> Iterator[tuple[sqlite3.Connection, Path]]:
    """A connection to a store as it is, and its path."""
    sqlite.check_there(where)
    path = expanded(where) / sqlite.FILE
    try:
        uri = f"file:{quote(str(path))}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=_SECONDS, isolation_level=None)
        with contextlib.closing(connection):
            connection.execute("PRAGMA trusted_schema = OFF")
            yield connection, path
    except sqlite3.Error as error:
        raise FailedError(
            f"the store {path} cannot be read or written now ({error}): nothing was changed; see to its disk, or "
            "restore a backup"
        ) from error
