"""Predictions that feedback may name, where several hosts answer: kept for a day, the oldest go first."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from innerloop.service.store.database import Connection, Database

_SECONDS = 86_400.0
_PART = 256
"""Predictions that are let go at once."""
_TASK = "SELECT id FROM tasks WHERE id = ?"
_INSERT = "INSERT INTO predictions (ticket, task, time, row, value, about, weight) VALUES (?, ?, ?, ?, ?, ?, ?)"


class Prediction(NamedTuple):
    """One, as it is kept."""

    ticket: str
    """What feedback calls it."""
    task: int
    row: bytes
    value: bytes
    """What was asked, where it is more than the row."""
    about: str
    """What else is known of it, in JSON."""
    weight: int
    """Bytes that it takes, roughly."""


def keep(database: Database, some: Sequence[Prediction]) -> None:
    """Keep some; those of tasks that are gone are none.

    Raises:
        StoreError: They cannot be written now.
    """
    now = time.time()
    with database.noting() as c:
        there = {row[0] for id in {one.task for one in some} for row in c.execute(_TASK, (id,))}
        rows = [(one.ticket, one.task, now, *one[2:]) for one in some if one.task in there]
        c.executemany(_INSERT, rows)


def bound(database: Database, count: int, size: float) -> None:
    """Let the oldest go.

    Args:
        database: Of the store.
        count: How many may stay.
        size: Bytes that they may take together.

    Raises:
        StoreError: The store cannot be written now.
    """
    # In a turn, as two hosts that let the same rows go in another order would wait for each other.
    with database.writing() as c:
        _expire(c)
        c.execute("DELETE FROM predictions WHERE id <= (SELECT max(id) FROM predictions) - ?", (count,))
        while c.execute("SELECT coalesce(sum(weight), 0) FROM predictions").fetchone()[0] > size:
            oldest = f"SELECT id FROM predictions ORDER BY id LIMIT {_PART}"
            c.execute(f"DELETE FROM predictions WHERE id IN ({oldest})")


def find(database: Database, ticket: str) -> Prediction | None:
    """One that is kept.

    Raises:
        StoreError: The store cannot be read now.
    """
    query = "SELECT ticket, task, row, value, about, weight FROM predictions WHERE ticket = ?"
    with database.reading() as c:
        row = c.execute(query, (ticket,)).fetchone()
    return None if row is None else Prediction(*row)


def forget(database: Database, task: int) -> None:
    """Let those of a task go.

    Raises:
        StoreError: The store cannot be written now.
    """
    with database.reading() as c:
        there = c.execute("SELECT 1 FROM predictions WHERE task = ? LIMIT 1", (task,)).fetchone()
    if there:  # a folder hardly ever has any
        with database.writing() as c:
            c.execute("DELETE FROM predictions WHERE task = ?", (task,))


def expire(database: Database) -> None:
    """Let those go that are older than a day."""
    with database.writing() as c:
        _expire(c)


def _expire(c: Connection) -> None:
    c.execute("DELETE FROM predictions WHERE time < ?", (time.time() - _SECONDS,))
