"""Going back in a task's history, and forth again, with the words and rules of `fewshot.history`."""

import json

from innerloop.service.store.database import Connection
from innerloop.service.store.errors import ConflictError, MissingError
from innerloop.service.store.members import end, restored
from innerloop.service.store.records import Change, Done, Task
from innerloop.service.store.store import Store

_MANY = 10_000
"""Moves of examples between two versions; where there are more, each example is looked at once."""


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

    def work(c: Connection, task: Task, version: int) -> Done:
        if to is not None:
            if to == task.version:
                raise ConflictError(f"task '{name}' is at version {to} already")
            if not 0 <= to < task.version:
                raise MissingError(f"task '{name}' has no version {to}: it has 0 to {task.version}")
            same = _restore(c, task, version, to)
            return Done(f"back to {to}", back=(task.version, ()), same=same, declared=restored(c, task, to))
        before, _ = pointers(c, task, task.version)
        if before is None:
            raise ConflictError(f"there is nothing to undo: this is how task '{name}' was first taught")
        same = _restore(c, task, version, before)
        # Another undo goes where that version would have gone, and redo comes back to the one that was left.
        back = (pointers(c, task, before)[0], (task.version,))
        return Done("undo", back=back, same=same, declared=restored(c, task, before))

    return store.change("undo", name, work, expected)


def redo(store: Store, name: str, expected: int | None = None) -> Change:
    """What was undone last, as long as nothing was changed since.

    Raises:
        ConflictError: Nothing was undone, or something was changed since.
        MissingError: There is no such task.
        StaleError: It has changed.
    """

    def work(c: Connection, task: Task, version: int) -> Done:
        undone = pointers(c, task, task.version)[1]
        if undone is None:
            raise ConflictError("there is nothing to redo: nothing was undone since the last change")
        same = _restore(c, task, version, undone)
        before = pointers(c, task, undone)[1]
        back = (task.version, () if before is None else (before,))
        return Done("redo", back=back, same=same, declared=restored(c, task, undone))

    return store.change("redo", name, work, expected)


def pointers(c: Connection, task: Task, version: int) -> tuple[int | None, int | None]:
    """The version that undoing a version goes back to, and the last one that was undone before it."""
    row = c.execute("SELECT undo, redo FROM versions WHERE task = ? AND version = ?", (task.id, version)).fetchone()
    # The list would grow with every step back; that version has the rest of it.
    return row["undo"], next(reversed(json.loads(row["redo"])), None)


def _restore(c: Connection, task: Task, version: int, to: int) -> int:
    """Have the task hold what a version held; returns the first one that did.

    What differs is looked for between two versions of the same content that lie near each other, so that going back
    costs as much as the changes that it takes back, not as there are versions.
    """
    first, latest = _first(c, task, to), _first(c, task, task.version)
    pairs = [(a, b) for a in (to, first) for b in (task.version, latest)]
    then, now = min(pairs, key=lambda pair: abs(pair[0] - pair[1]))
    for id in _moved(c, task, min(then, now), max(then, now)):
        before, after = _label_at(c, task, id, now), _label_at(c, task, id, then)
        # It left and came back in between.
        if before == after:
            continue
        if before is not None:
            end(c, task, version, [id])
        if after is not None:
            c.execute("INSERT INTO members VALUES (?, ?, ?, ?, NULL)", (task.id, id, after, version))
    return first


def _first(c: Connection, task: Task, version: int) -> int:
    query = "SELECT coalesce(same, version) FROM versions WHERE task = ? AND version = ?"
    return c.execute(query, (task.id, version)).fetchone()[0]


def _moved(c: Connection, task: Task, low: int, high: int) -> list[int]:
    """Examples that came or went after one version, up to another; all there are, where that happened too often."""
    query = (
        "SELECT example FROM members WHERE task = ? AND since > ? AND since <= ? UNION ALL "
        "SELECT example FROM members WHERE task = ? AND until > ? AND until <= ? LIMIT ?"
    )
    rows = c.execute(query, (task.id, low, high, task.id, low, high, _MANY)).fetchall()
    if len(rows) == _MANY:
        rows = c.execute("SELECT id FROM examples WHERE task = ?", (task.id,)).fetchall()
    return sorted({row[0] for row in rows})


def _label_at(c: Connection, task: Task, example: int, version: int) -> str | None:
    # Spans of one example never overlap: the last that began decides.
    query = "SELECT label, until FROM members WHERE task = ? AND example = ? AND since <= ? ORDER BY since DESC LIMIT 1"
    row = c.execute(query, (task.id, example, version)).fetchone()
    return None if row is None or (row["until"] is not None and row["until"] <= version) else row["label"]
