"""Examples of a change that comes in several requests: kept until the last one is there, and part of no version."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from innerloop.service.store import audit, quotas
from innerloop.service.store.database import Connection, Database, Row
from innerloop.service.store.errors import ConflictError
from innerloop.service.store.records import Change, Example, Task, read_task
from innerloop.service.store.store import Store

_SECONDS = 86_400.0
"""After which what was never finished is let go."""
_COLUMNS = "label, row, dtype, shape, text, picture, mime, name, paper, colour"


@dataclass(frozen=True, kw_only=True)
class Part:
    """The change that a request is a part of."""

    client: str
    """Whose names these are."""
    name: str
    """What the client calls the change."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """An example that waits for the others."""

    example: Example
    name: str
    """What errors call it."""
    seen: tuple[float, float] | None = None
    """Paper and colour (`tasks.images.Scan`) of a picture that, with the others of the change, is to decide how those
    of its task are read; its row is as it was read. None: its row is what is learned from."""


def hold(store: Store, name: str, part: Part, examples: Sequence[Held]) -> Change:
    """Keep examples of a change whose last ones are still to come; returns the version, which stays.

    Args:
        store: Where the task is.
        name: Of the task.
        part: The change.
        examples: Behind those that came before.

    Raises:
        ConflictError: The task would hold too many.
        MissingError: There is no such task.
    """

    def work(c: Connection) -> Change:
        task, now = read_task(c, name), time.time()
        _expire(c, now)
        there = c.execute("SELECT count(*) FROM held WHERE task = ?", (task.id,)).fetchone()[0]
        if there + len(examples) > store.limits.examples:
            raise ConflictError(
                f"task '{name}' holds {there:,} examples of changes that are not finished, and "
                f"{store.limits.examples:,} are most: send the last part of them, or wait a day"
            )
        query = f"INSERT INTO held (task, client, change, time, size, {_COLUMNS}) VALUES ({', '.join('?' * 15)})"
        about = (task.id, part.client, part.name, now)
        c.executemany(query, [(*about, one.example.size, *_values(one)) for one in examples])
        quotas.check(c)
        return Change(version=task.version)

    return store.once(audit.task("hold", name), work)


def find(store: Store, task: Task, part: Part) -> list[Held]:
    """What is held of a change, in the order in which it came."""
    query = f"SELECT {_COLUMNS} FROM held WHERE task = ? AND client = ? AND change = ? ORDER BY id"
    with store.database.reading() as c:
        return [_read(row) for row in c.execute(query, (task.id, part.client, part.name))]


def count(store: Store, task: Task, part: Part) -> int:
    """How many examples of a change are held."""
    query = "SELECT count(*) FROM held WHERE task = ? AND client = ? AND change = ?"
    with store.database.reading() as c:
        return c.execute(query, (task.id, part.client, part.name)).fetchone()[0]


def release(c: Connection, task: Task, part: Part, count: int) -> None:
    """Let a change go that is made now, on a connection in its transaction.

    Raises:
        ConflictError: It has another number of examples by now.
    """
    query = "DELETE FROM held WHERE task = ? AND client = ? AND change = ?"
    if c.execute(query, (task.id, part.client, part.name)).rowcount != count:
        raise ConflictError(f"another part of the change '{part.name}' came while it was made: send it anew")


def expire(database: Database) -> None:
    """Let changes go that were not finished within a day."""
    with database.writing() as c:
        _expire(c, time.time())


def _expire(c: Connection, now: float) -> None:
    c.execute("DELETE FROM held WHERE time < ?", (now - _SECONDS,))


def _values(one: Held) -> tuple[object, ...]:
    row, example = one.example.row, one.example
    about = (example.text, example.picture, example.mime, one.name)
    return (example.label, row.tobytes(), row.dtype.name, json.dumps(row.shape), *about, *(one.seen or (None, None)))


def _read(row: Row) -> Held:
    values = np.frombuffer(row["row"], np.dtype(row["dtype"])).reshape(json.loads(row["shape"]))
    about = {name: row[name] for name in ("label", "text", "picture", "mime")}
    seen = None if row["paper"] is None else (row["paper"], row["colour"])
    return Held(example=Example(row=values, **about), name=row["name"], seen=seen)
