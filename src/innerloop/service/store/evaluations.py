"""How good tasks were found to be, by version: a change that hurts shows after a restart, and from every worker."""

import json
from typing import Any

from innerloop.service.store.database import Connection
from innerloop.service.store.records import Task
from innerloop.service.store.store import Store

_MOST = 100
"""Versions of a task whose evaluations stay; the older ones are let go."""


def keep(store: Store, task: Task, content: dict[str, Any]) -> None:
    """Keep the evaluation of a task at its version, as what is asked of it now.

    Nothing is kept of a task that is gone, nor of a version before one in which an example was erased.

    Args:
        store: Where the task is.
        task: At the version that was evaluated.
        content: In plain JSON.

    Raises:
        StoreError: It cannot be written.
    """

    def work(c: Connection) -> Task:
        erased = "SELECT 1 FROM versions WHERE task = ? AND version > ? AND action LIKE 'erase %'"
        there = "SELECT 1 FROM tasks WHERE id = ?"
        c.execute(
            "INSERT INTO evaluations (task, version, wanted, content) SELECT ?, ?, ?, ? WHERE EXISTS "
            f"({there}) AND NOT EXISTS ({erased}) ON CONFLICT (task, version) DO UPDATE SET wanted = excluded.wanted, "
            "content = excluded.content",
            (task.id, task.version, _wanted(task), json.dumps(content), task.id, task.id, task.version),
        )
        c.execute(
            "DELETE FROM evaluations WHERE task = ? AND version NOT IN (SELECT version FROM evaluations WHERE task = ? "
            "ORDER BY version DESC LIMIT ?)",
            (task.id, task.id, _MOST),
        )
        return task

    store.once(None, work)


def find(store: Store, task: Task) -> dict[str, Any] | None:
    """The evaluation of a task at its version, as it is asked now; None: there is none yet."""
    query = "SELECT content FROM evaluations WHERE task = ? AND version = ? AND wanted = ?"
    with store.database.reading() as c:
        row = c.execute(query, (task.id, task.version, _wanted(task))).fetchone()
    return None if row is None else json.loads(row["content"])


def before(store: Store, task: Task) -> dict[str, Any] | None:
    """`version` and `accuracy` of the version before that was evaluated last, as it is asked now; None: none was."""
    query = (
        "SELECT version, json_extract(content, '$.accuracy') AS accuracy FROM evaluations WHERE task = ? AND "
        "version < ? AND wanted = ? ORDER BY version DESC LIMIT 1"
    )
    with store.database.reading() as c:
        row = c.execute(query, (task.id, task.version, _wanted(task))).fetchone()
    return None if row is None else {"version": row["version"], "accuracy": json.loads(row["accuracy"])}


def forget(c: Connection, task: int) -> None:
    """Let the evaluations of a task go, by its id."""
    c.execute("DELETE FROM evaluations WHERE task = ?", (task,))


def _wanted(task: Task) -> str:
    return json.dumps(task.wanted)
