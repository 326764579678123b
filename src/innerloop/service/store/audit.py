"""Who changed what in a store: a row a change, written in its transaction, and never changed or taken away."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from innerloop.core.errors import InputError
from innerloop.core.names import printable
from innerloop.service.store.by import BY, By
from innerloop.service.store.database import Connection, Database, check_there, opened
from innerloop.service.task_names import spelled

T = TypeVar("T")
_COLUMNS = "id, time, key, name, verb, kind, of, before, after, request"
_PAGE = 2_000
"""Rows that are read at once."""
_SHOWN = 40
_VERSIONS = {
    "task": "SELECT version FROM tasks WHERE name = ?",
    "tagger": "SELECT version FROM taggers WHERE name = ?",
    "person": "SELECT version FROM people WHERE recommender = ? AND name = ?",
}


class What(NamedTuple):
    """What is changed."""

    verb: str
    kind: Literal["task", "tagger", "person", "key"]
    of: tuple[str, ...]
    """Its name; of a person the recommender's, and behind it the person's own, which is not written down."""


class Entry(NamedTuple):
    """A change that was made."""

    id: int
    time: str
    """In UTC."""
    key: int | None
    name: str
    verb: str
    kind: str
    of: str
    """Name of the task or tagger, of the recommender whose person it is, or number of the key."""
    before: int | None
    """Version; of a limit of a key the limit. None: it was not there, or has none."""
    after: int | None
    request: str | None


def task(verb: str, name: str) -> What:
    """A change of a task."""
    return What(verb, "task", (name,))


def tagger(verb: str, name: str) -> What:
    """A change of a tagger."""
    return What(verb, "tagger", (name,))


def audited(c: Connection, what: What, work: Callable[[Connection], T]) -> T:
    """Make a change and write down that it was made, on a connection in its transaction.

    Args:
        c: In a transaction.
        what: Is changed.
        work: Changes it.
    """
    before = _version(c, what)
    result = work(c)
    write(c, what, before, _version(c, what))
    return result


def write(c: Connection, what: What, before: int | None = None, after: int | None = None) -> None:
    """Write down that a change was made, on a connection in its transaction; neither text nor label of anybody."""
    by, now = BY.get() or By(), datetime.now(UTC)
    values = (_text(now), by.key, by.name, what.verb, what.kind, what.of[0], before, after, by.request)
    c.execute(f"INSERT INTO audit ({_COLUMNS.removeprefix('id, ')}) VALUES ({', '.join('?' * len(values))})", values)


def pages(
    database: Database, since: datetime | None = None, task: str | None = None, key: str | None = None
) -> Iterator[list[Entry]]:
    """Changes that were made, oldest first, as many at once as are read at once.

    Args:
        database: Of the store.
        since: The first moment; None: from the beginning.
        task: Only of the task, tagger or recommender of this name; None: of all.
        key: Only of keys of this name, or of this number; None: of everybody.
    """
    last = 0
    while True:
        entries = page(database, since, task, key, last, _PAGE)
        if entries:
            yield entries
        if len(entries) < _PAGE:
            return
        last = entries[-1].id


def page(
    database: Database, since: datetime | None, task: str | None, key: str | None, after: int, limit: int
) -> list[Entry]:
    """A part of the same: at most so many, behind the entry of a number."""
    query, values = f"SELECT {_COLUMNS} FROM audit WHERE id > ?", list[object]([after])
    if since is not None:
        query, values = f"{query} AND time >= ?", [*values, _text(since)]
    if task is not None:
        query, values = f"{query} AND kind <> 'key' AND of = ?", [*values, _name(spelled(task))]
    if key is not None:
        number = int(key) if key.isascii() and key.isdigit() and len(key) < 19 else -1
        query, values = f"{query} AND (key = ? OR (key IS NOT NULL AND name = ?))", [*values, number, _name(key)]
    # Nothing is ever put between two rows, so pages are as one look would be.
    with database.reading() as c:
        return [Entry(*row) for row in c.execute(f"{query} ORDER BY id LIMIT {limit}", values).fetchall()]


def line(entry: Entry) -> str:
    """An entry as a line of JSON, as files have it."""
    return f"{json.dumps(entry._asdict(), ensure_ascii=False)}\n"


def listed(
    where: str | Path, since: str | None = None, task: str | None = None, key: str | None = None
) -> Iterator[Entry]:
    """The same of the store at a place, from a moment that is written as in ISO 8601 (UTC unless it says otherwise).

    Raises:
        InputError: There is no store, or that is no moment.
    """
    first = None if since is None else moment(since)
    check_there(where)
    database = opened(where)
    try:
        for entries in pages(database, first, task, key):
            yield from entries
    finally:
        database.close()


def moment(text: str) -> datetime:
    """A moment as people write it: ISO 8601, in UTC unless it says otherwise.

    Raises:
        InputError: It is none.
    """
    try:
        read = datetime.fromisoformat(text)
        return read.astimezone(UTC) if read.tzinfo is not None else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # a year 1 that is the year 0 in UTC
        raise InputError(
            f"'{printable(text[:_SHOWN])}' is no moment: give a date or a time, as 2026-11-29 or 2026-11-29T08:00Z"
        ) from None


def _name(text: str) -> str:
    # PostgreSQL takes no NUL, and neither takes half of a character; nothing is called so.
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _version(c: Connection, what: What) -> int | None:
    query = _VERSIONS.get(what.kind)
    row = None if query is None else c.execute(query, what.of).fetchone()
    return None if row is None else row[0]


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
