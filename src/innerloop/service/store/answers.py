"""What clients were answered to changes, so that one that is sent again, because its answer was lost, is made once."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from innerloop.fewshot.reading import Reading
from innerloop.service.store.database import Connection
from innerloop.service.store.errors import ConflictError
from innerloop.service.store.records import Change, Talk, Task

T = TypeVar("T", Change, Talk, Task)
_SECONDS = 86_400.0
_MOST = 10_000
"""Answers of all clients; a change that is sent again comes within seconds."""


@dataclass(frozen=True, kw_only=True)
class Once:
    """A change as a client named it."""

    client: str
    """Whose names these are."""
    key: str
    """What the client calls this change, and no other."""
    digest: bytes
    """Hash of all that was asked for."""


def once(c: Connection, asked: Once | None, work: Callable[[Connection], T]) -> T:
    """Make a change, or give the answer that it had; both in the transaction that the connection is in.

    Args:
        c: In a transaction.
        asked: As the client named it; None: it did not.
        work: The change.

    Raises:
        ConflictError: The client called another change so.
    """
    if asked is None:
        return work(c)
    # Under the lock: of two that come at once, the second one finds what the first one was answered.
    if (known := find(c, asked)) is not None:
        return known
    result = work(c)
    now = time.time()
    query = "INSERT INTO answers (client, key, digest, answer, time) VALUES (?, ?, ?, ?, ?)"
    # With the change or not at all: apart from it, one of the two could be lost.
    last = c.execute(query, (asked.client, asked.key, asked.digest, _to_json(result), now)).lastrowid
    assert last is not None
    # With every change, so that nobody else has to; each half has an index.
    c.execute("DELETE FROM answers WHERE id <= ? OR time < ?", (last - _MOST, now - _SECONDS))
    return result


def find(c: Connection, asked: Once) -> Any:
    """What was answered to a change; None: it was not made.

    Raises:
        ConflictError: The client called another change so.
    """
    query = "SELECT digest, answer FROM answers WHERE client = ? AND key = ?"
    row = c.execute(query, (asked.client, asked.key)).fetchone()
    if row is None:
        return None
    # A client that counts its names from 1 at each start must not be told of a change that it did not ask for.
    if row["digest"] != asked.digest:
        raise ConflictError(
            f"Idempotency-Key '{asked.key[:100]}' was used for another change: take a new one for each change, and the "
            "same one only to send the very same request again"
        )
    return _from_json(row["answer"])


def forget(c: Connection, task: int, conversation: str | None = None) -> None:
    """Let go of what was answered in the conversations with a task, which are still there; None: in all of them."""
    named = "SELECT name FROM conversations WHERE task = ? AND name = coalesce(?, name)"
    query = f"DELETE FROM answers WHERE json_extract(answer, '$.Talk.conversation') IN ({named})"
    c.execute(query, (task, conversation))


def _to_json(result: Change | Talk | Task) -> str:
    values = asdict(result)
    if isinstance(result, Task):
        values["reading"] = result.reading.to_json()
    return json.dumps({type(result).__name__: values})


def _from_json(text: str) -> Change | Talk | Task:
    ((kind, values),) = json.loads(text).items()
    if kind == Talk.__name__:
        return Talk(**values)
    if kind == Change.__name__:
        return Change(version=values["version"], ids=tuple(values["ids"]), classes=values["classes"])
    shape, reading = values.pop("shape"), Reading.from_json(values.pop("reading"))
    return Task(**values, shape=None if shape is None else tuple(shape), reading=reading)
