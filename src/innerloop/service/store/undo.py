"""Going back in a task's history, and forth again, with the words and rules of `fewshot.history`."""

import json
import sqlite3

from innerloop.service.store.errors import ConflictError, MissingError
from innerloop.service.store.records import Change, Done, Task
from innerloop.service.store.store import Store, end


def undo(store: Store, name: str, to: int | None = None, expected: int | None = None) -> Change:
    """A new version that holds what an old one held.

    Args:
        store: Where the task is.
        name: Of the task.
        to: A version; None: before the last change that was not undone yet.
        expected: The version that the client saw; None: any.

    Raises:
        ConflictError: There is nothing to undo, or it is at that version.
        MissingError: There is no such task or version.
        StaleError: It has changed.
    """

    def work(c: sqlite3.Connection, task: Task, version: int) -> Done:
        if to is not None:
            if to == task.version:
                raise ConflictError(f"task '{name}' is at version {to} already")
            if not 0 <= to < task.version:
                raise MissingError(f"task '{name}' has no version {to}: it has 0 to {task.version}")
            _restore(c, task, version, to)
            return Done(f"back to {to}", back=(task.version, ()))
        before, redo = pointers(c, task, task.version)
        if before is None:
            raise ConflictError(f"there is nothing to undo: this is how task '{name}' was first taught")
        _restore(c, task, version, before)
        return Done("undo", back=(pointers(c, task, before)[0], (*redo, task.version)))

    return store.change(name, work, expected)


def redo(store: Store, name: str, expected: int | None = None) -> Change:
    """What was undone last, as long as nothing was changed since.

    Raises:
        ConflictError: Nothing was undone, or something was changed since.
        MissingError: There is no such task.
        StaleError: It has changed.
    """

    def work(c: sqlite3.Connection, task: Task, version: int) -> Done:
        undone = pointers(c, task, task.version)[1]
        if not undone:
            raise ConflictError("there is nothing to redo: nothing was undone since the last change")
        _restore(c, task, version, undone[-1])
        return Done("redo", back=(task.version, undone[:-1]))

    return store.change(name, work, expected)


def pointers(c: sqlite3.Connection, task: Task, version: int) -> tuple[int | None, tuple[int, ...]]:
    """The version that undoing a version goes back to, and those that were undone before it."""
    row = c.execute("SELECT undo, redo FROM versions WHERE task = ? AND version = ?", (task.id, version)).fetchone()
    return row["undo"], tuple(json.loads(row["redo"]))


def _restore(c: sqlite3.Connection, task: Task, version: int, to: int) -> None:
    then, now = _members(c, task.id, to), _members(c, task.id, task.version)
    end(c, task, version, [id for id, label in now.items() if then.get(id) != label])
    back = [(task.id, id, label, version) for id, label in then.items() if now.get(id) != label]
    c.executemany("INSERT INTO members VALUES (?, ?, ?, ?, NULL)", back)


def _members(c: sqlite3.Connection, id: int, version: int) -> dict[int, str]:
    query = (
        "SELECT example, label FROM members WHERE task = ? AND since <= ? AND (until IS NULL OR until > ?) "
        "ORDER BY example"
    )
    return {row[0]: row[1] for row in c.execute(query, (id, version, version))}
