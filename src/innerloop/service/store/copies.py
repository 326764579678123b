"""A whole store, with all its history, from one database into another, and back."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from innerloop.core.errors import FailedError, InputError
from innerloop.service.store.address import is_address
from innerloop.service.store.database import Connection, check_there, opened
from innerloop.service.store.schema import TABLES

_SECONDS = 86_400.0
"""A store of any size is copied in one change."""
_LARGE = {"files": 4, "taggers": 4, "examples": 200, "held": 200, "predictions": 200}
_MANY = 2_000
"""Rows that are in memory at once; of tables that keep files, fewer."""


class Copied(NamedTuple):
    """What was copied."""

    rows: dict[str, int]
    """How many of every table."""
    digest: str
    """SHA-256 of all of them, the same of both stores."""


def copy(source: str | Path, target: str | Path) -> Copied:
    """Copy a store as it is at one moment, whole or not at all; what is not in a store, such as watches, stays.

    Args:
        source: Folder or address of the store; it may be served meanwhile, and is brought up to date.
        target: Folder or address of an empty one, made if it is not there.

    Raises:
        InputError: There is no such store, the target is not empty, or it cannot hold what is there.
        FailedError: What arrived is not what left; the target is empty again.
    """
    check_there(source)
    if not is_address(source) and not is_address(target) and Path(source).resolve() == Path(target).resolve():
        raise InputError(f"{source} is both: give another store to copy to")
    start, end = opened(source, _SECONDS), opened(target, _SECONDS)
    try:
        with start.snapshot() as read, end.writing() as written:
            filled = [table for table in TABLES if written.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()]
            if filled:
                raise InputError(
                    f"the store {end.name} is not empty (it has {', '.join(filled)}): copy to a new one, so that "
                    "nothing is mixed"
                )
            # What is in memory and beside a store goes by numbers, which are never given twice.
            if used := [table for table in ("tasks", "taggers") if end.numbers(written)[table]]:
                raise InputError(f"the store {end.name} had {' and '.join(used)} before: copy to a new one")
            rows = {table: _table(read, written, table) for table in TABLES}
            # A number is never given twice, also not that of what was deleted.
            end.set_numbers(written, start.numbers(read))
            digest = digest_of(read)
            if digest_of(written) != digest or end.numbers(written) != start.numbers(read):
                raise FailedError(f"{end.name} does not hold what {start.name} does: nothing was kept; report this")
        return Copied(rows, digest)
    finally:
        start.close()
        end.close()


def digest_of(c: Connection) -> str:
    """SHA-256 of every row of a store, whichever database holds it."""
    known = hashlib.sha256()
    for table in TABLES:
        columns = _columns(c, table)
        known.update(repr((table, columns)).encode())
        for row in _rows(c, table, columns):
            known.update(repr(tuple(row)).encode("utf-8", "surrogatepass"))
    return known.hexdigest()


def _table(read: Connection, written: Connection, table: str) -> int:
    columns = _columns(read, table)
    places = ", ".join("?" * len(columns))
    query, count, waiting = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", 0, list[tuple[Any, ...]]()
    for row in _rows(read, table, columns):
        waiting.append(tuple(row))
        if len(waiting) == _LARGE.get(table, _MANY):
            written.executemany(query, waiting)
            count, waiting = count + len(waiting), []
    if waiting:
        written.executemany(query, waiting)
    return count + len(waiting)


def _columns(c: Connection, table: str) -> list[str]:
    # Their order depends on the release that made a store.
    return sorted(column[0] for column in c.execute(f"SELECT * FROM {table} LIMIT 0").description)


def _rows(c: Connection, table: str, columns: list[str]) -> Iterator[Any]:
    """Rows by their keys, a few at a time."""
    keys = TABLES[table]
    named, many = ", ".join(keys), _LARGE.get(table, _MANY)
    chosen = f"SELECT {', '.join(columns)} FROM {table}"
    places = ", ".join("?" * len(keys))
    last: tuple[Any, ...] = ()
    while True:
        after = f" WHERE ({named}) > ({places})" if last else ""
        rows = c.execute(f"{chosen}{after} ORDER BY {named} LIMIT {many}", last).fetchall()
        yield from rows
        if len(rows) < many:
            return
        last = tuple(rows[-1][key] for key in keys)
