"""Desks of tasks, and conversations with them: a message and what was said to it are one transaction."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from innerloop.service.store import answers, audit
from innerloop.service.store.database import Connection, leave_bytes
from innerloop.service.store.errors import ConflictError, MissingError
from innerloop.service.store.records import Talk, Task
from innerloop.service.store.store import Store

MOST = 10_000
"""Conversations of a task that are kept; the oldest are let go, and their bytes are overwritten within a day."""
_LONGEST = 1_000
"""Messages of a conversation."""
Say = Callable[[dict[str, Any]], tuple[dict[str, Any], dict[str, Any]]]
"""From what a conversation has come to, to what it comes to and what is said."""


def equip(store: Store, task: Task, content: dict[str, Any]) -> None:
    """Give a task a desk, in place of the one it has.

    Raises:
        StoreError: It cannot be written.
    """
    text = json.dumps(content)
    digest = hashlib.sha256(text.encode()).hexdigest()

    def work(c: Connection) -> Task:
        there = "SELECT ?, ?, ? WHERE EXISTS (SELECT 1 FROM tasks WHERE id = ?)"
        again = "ON CONFLICT (task) DO UPDATE SET hash = excluded.hash, content = excluded.content"
        c.execute(f"INSERT INTO desks {there} {again}", (task.id, digest, text, task.id))
        return task

    store.once(audit.task("equip", task.name), work)


def desk_hash(store: Store, task: Task) -> str | None:
    """What the desk of a task is known by, without reading it; None: it has none."""
    with store.database.reading() as c:
        row = c.execute("SELECT hash FROM desks WHERE task = ?", (task.id,)).fetchone()
    return None if row is None else row["hash"]


def desk(store: Store, task: Task) -> tuple[str, dict[str, Any]] | None:
    """The hash and the content of the desk of a task; None: it has none."""
    with store.database.reading() as c:
        row = c.execute("SELECT hash, content FROM desks WHERE task = ?", (task.id,)).fetchone()
    return None if row is None else (row["hash"], json.loads(row["content"]))


def say(store: Store, task: Task, name: str, begins: bool, began: str, work: Say) -> Talk:
    """What is said to a message of a conversation; it is on the disk when this returns.

    Args:
        store: Where the task is.
        task: Whose desk it is.
        name: Of the conversation.
        begins: Whether it is a new one.
        began: When.
        work: Takes what the conversation has come to.

    Raises:
        MissingError: There is no such conversation with this task.
        ConflictError: It is as long as they become.
    """

    def change(c: Connection) -> Talk:
        if begins:
            values = (name, task.id, began, task.id)
            there = "SELECT ?, ?, ?, '{}' WHERE EXISTS (SELECT 1 FROM tasks WHERE id = ?)"
            c.execute(f"INSERT INTO conversations (name, task, began, state) {there}", values)
            _let_go(c, task)
        row = c.execute("SELECT id, state FROM conversations WHERE name = ? AND task = ?", (name, task.id)).fetchone()
        if row is None:
            raise MissingError(_missing(name, task))
        number = c.execute("SELECT count(*) FROM messages WHERE conversation = ?", (row["id"],)).fetchone()[0]
        if number >= _LONGEST:
            raise ConflictError(f"conversation '{name}' has {_LONGEST:,} messages, the most there are: begin another")
        state, said = work(json.loads(row["state"]))
        c.execute("UPDATE conversations SET state = ? WHERE id = ?", (json.dumps(state), row["id"]))
        c.execute("INSERT INTO messages VALUES (?, ?, ?)", (row["id"], number, json.dumps(said)))
        return Talk(conversation=name, said=said)

    return store.once(None, change)


def conversations(store: Store, task: Task, limit: int = 100) -> list[dict[str, Any]]:
    """The conversations with a task, the newest first: `conversation`, `began`, `messages`, and `last`, what was said.

    Args:
        store: Where the task is.
        task: Whose desk it is.
        limit: How many at most.
    """
    query = (
        "SELECT c.name AS conversation, c.began, count(m.number) AS messages, (SELECT content FROM messages l WHERE "
        "l.conversation = c.id ORDER BY l.number DESC LIMIT 1) AS last FROM conversations c LEFT JOIN messages m ON "
        "m.conversation = c.id WHERE c.task = ? GROUP BY c.id ORDER BY c.id DESC LIMIT ?"
    )
    with store.database.reading() as c:
        rows = [dict(row) for row in c.execute(query, (task.id, limit))]
    return [row | {"last": json.loads(row["last"]) if row["last"] else None} for row in rows]


def transcript(store: Store, task: Task, name: str) -> list[dict[str, Any]]:
    """Every message of a conversation with what was said to it.

    Raises:
        MissingError: There is no such conversation with this task.
    """
    with store.database.reading() as c:
        row = c.execute("SELECT id FROM conversations WHERE name = ? AND task = ?", (name, task.id)).fetchone()
        if row is None:
            raise MissingError(_missing(name, task))
        rows = c.execute("SELECT content FROM messages WHERE conversation = ? ORDER BY number", (row["id"],)).fetchall()
    return [json.loads(row["content"]) for row in rows]


def forget(store: Store, task: Task, name: str, forever: bool = False) -> None:
    """Delete a conversation.

    Args:
        store: Where the task is.
        task: Whose desk it is.
        name: Of the conversation.
        forever: Whether `Database.scrub` is to overwrite what is left of the bytes.

    Raises:
        MissingError: There is no such conversation with this task.
    """

    def work(c: Connection) -> Task:
        answers.forget(c, task.id, name)
        if not c.execute("DELETE FROM conversations WHERE name = ? AND task = ?", (name, task.id)).rowcount:
            raise MissingError(_missing(name, task))
        if forever:
            leave_bytes(c)
        return task

    store.once(audit.task("forget conversation", task.name), work)


def _let_go(c: Connection, task: Task) -> None:
    """Delete the oldest conversations, as `forget` does with one: nobody can name them afterwards to have it done."""
    oldest = "SELECT name FROM conversations WHERE task = ? ORDER BY id DESC LIMIT 1000000000 OFFSET ?"
    for row in c.execute(oldest, (task.id, MOST)).fetchall():
        answers.forget(c, task.id, row["name"])
        c.execute("DELETE FROM conversations WHERE task = ? AND name = ?", (task.id, row["name"]))
        leave_bytes(c)


def _missing(name: str, task: Task) -> str:
    return f"task '{task.name}' has no conversation '{name[:40]}'"
