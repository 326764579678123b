"""What a service knows: tasks, every example they were ever taught, and every version of them.

A version is a set of examples with their labels. Each change makes a new one in one transaction and forgets none, so
rolling back is one more change. `innerloop.service.store.database` says how it lies on the disk.
"""

import copy
import functools
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from innerloop.core.errors import InputError
from innerloop.fewshot.calibrate import NOTHING, Wanted
from innerloop.fewshot.reading import Reading
from innerloop.service.limits import Limits
from innerloop.service.store import audit, quotas
from innerloop.service.store.answers import Once, T, find, once
from innerloop.service.store.audit import What, audited
from innerloop.service.store.database import Connection, opened
from innerloop.service.store.errors import ConflictError, MissingError, RereadError, StaleError
from innerloop.service.store.members import begin, classes, declared, end, learned, listed, with_classes, with_names
from innerloop.service.store.records import Change, Done, Example, Naming, Task, delete_task, read_row, read_task
from innerloop.service.store.rows import check_rows

Besides = Callable[[Connection, Task], None]


class Store:
    """All tasks of a folder; safe for many threads and for many processes at once.

    Args:
        folder: Where `store.sqlite` lies; made if it is not there.
        limits: What is refused.

    Raises:
        InputError: It cannot be used as a store.
    """

    def __init__(self, folder: str | Path, limits: Limits | None = None):
        self.limits = limits or Limits()
        self.database = opened(folder, self.limits.store_seconds)
        self._once: Once | None = None

    def close(self) -> None:
        """Close its connections."""
        self.database.close()

    def asked(self, once: Once | None) -> "Store":
        """The same store, whose one change is the one that a client named: made once, however often it is asked for."""
        # A shallow copy has the same connections and waits for the same turn.
        bound = copy.copy(self)
        bound._once = once
        return bound

    def known(self) -> Change | None:
        """What was answered to the change that a client named, if it was made.

        Raises:
            ConflictError: The client called another change so.
        """
        if self._once is None:
            return None
        with self.database.reading() as c:
            return find(c, self._once)

    def once(self, what: What | None, work: Callable[[Connection], T]) -> T:
        """The result of a change, in a transaction of its own; that of the first time where a client asks again.

        Args:
            what: Is changed, as the audit log has it; None: nothing that anybody asked for.
            work: Changes it.

        Raises:
            ConflictError: The client called another change so.
        """
        noted = work if what is None else functools.partial(audited, what=what, work=work)
        return self.database.change(lambda c: once(c, self._once, noted))

    def create(
        self,
        name: str,
        source: str,
        kind: str,
        wanted: Wanted | None,
        head: str | None = None,
        naming: Naming | None = None,
        pin: str | None = None,
        budget: int | None = None,
    ) -> Task:
        """A new task without examples, at version 0; at version 1 where it is told names of classes.

        Raises:
            ConflictError: The name is taken, or there are too many tasks.
        """

        def work(c: Connection) -> Task:
            self.check_new(c, name)
            now = _now()
            values = (name, source, kind, *(wanted or NOTHING), head, now, pin, budget)
            columns = "name, source, kind, reject, coverage, head, created, pin, budget, version"
            id = c.execute(f"INSERT INTO tasks ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", values).lastrowid
            c.execute("INSERT INTO versions VALUES (?, 0, ?, 'create', 0, 0, NULL, '[]', NULL, NULL)", (id, now))
            if naming is not None and id is not None:
                begin(c, id, naming, now)
            return read_task(c, name)

        return self.once(audit.task("create", name), work)

    def check_new(self, c: Connection, name: str) -> None:
        """Refuse a name that is taken, and one task too many, with a `ConflictError`."""
        if c.execute("SELECT 1 FROM tasks WHERE name = ?", (name,)).fetchone():
            raise ConflictError(f"there is a task '{name}' already: choose another name, or delete that one")
        if c.execute("SELECT tasks FROM totals").fetchone()[0] >= self.limits.tasks:
            raise ConflictError(f"there are {self.limits.tasks} tasks, the most this server keeps: delete one")

    def delete(self, name: str) -> Task:
        """Forget a task with all its examples and versions; returns what it was."""
        return self.once(audit.task("delete", name), lambda c: delete_task(c, name))

    def count(self) -> int:
        """The number of tasks, which is kept: it takes as long for a thousand as for one, and waits for nobody.

        Raises:
            BusyError: Somebody else holds the store.
            LostError: Its files are not there any more.
        """
        # A connection that is open goes on answering from files that were deleted.
        self.database.check()
        with self.database.reading(wait=False) as c:
            return c.execute("SELECT tasks FROM totals").fetchone()[0]

    def tasks(self) -> list[tuple[Task, dict[str, int]]]:
        """All tasks by name, with the number of examples of each class."""
        with self.database.snapshot() as c:
            return with_classes(c, [read_row(row) for row in c.execute("SELECT * FROM tasks ORDER BY name")])

    def task(self, name: str, wait: bool = True) -> Task:
        """A task.

        Args:
            name: Of the task.
            wait: Whether it may take a moment where somebody else holds the store.

        Raises:
            BusyError: Somebody does.
            MissingError: There is none.
        """
        with self.database.reading(wait) as c:
            return read_task(c, name)

    def described(self, name: str) -> tuple[Task, dict[str, int]]:
        """A task with the number of examples of each class."""
        with self.database.snapshot() as c:
            task = read_task(c, name)
            return task, classes(c, task)

    def classes(self, task: Task) -> dict[str, int]:
        """The number of examples of each class that a task had at its version."""
        query = (
            "SELECT label, count(*) FROM members WHERE task = ? AND since <= ? AND (until IS NULL OR until > ?) "
            "GROUP BY label ORDER BY label"
        )
        with self.database.reading() as c:
            counts = {row[0]: row[1] for row in c.execute(query, (task.id, task.version, task.version))}
            return with_names(counts, declared(c, task.id, task.version))

    def declared(self, task: Task) -> tuple[str, ...]:
        """Classes that a task knew by their names at its version, whether they had examples or not."""
        with self.database.reading() as c:
            return declared(c, task.id, task.version)

    def add(
        self,
        name: str,
        examples: Sequence[Example],
        action: str = "",
        expected: int | None = None,
        readings: tuple[Reading, Reading] | None = None,
        besides: Besides | None = None,
    ) -> Change:
        """Teach examples, all or none of them.

        Args:
            name: The task.
            examples: With rows of one shape.
            action: What the version's history says; empty: the labels.
            expected: The version that the client saw; None: whichever.
            readings: How the task was read before, and with these examples; None: that does not change.
            besides: What is done with the change or not at all, such as to let go of what waited for it.

        Raises:
            MissingError: There is no such task.
            StaleError: It has changed.
            RereadError: It was read otherwise in the meantime.
            InputError: The rows are unlike those it has, or there are too many.
        """

        def work(c: Connection, task: Task, version: int) -> Done:
            # The rows were computed as the task was read then; under another reading they would mean something else.
            if readings is not None and task.reading != readings[0]:
                raise RereadError("the task was taught its first examples just now: send these again")
            if readings is not None and readings[1] != task.reading:
                known = json.dumps(readings[1].to_json())
                c.execute("UPDATE tasks SET reading = ? WHERE id = ?", (known, task.id))
            check_rows(c, task, [e.row for e in examples], self.limits)
            now, ids, owner = _now(), [], quotas.owner()
            columns = "task, row, text, picture, mime, added, owner, size"
            query = f"INSERT INTO examples ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            for e in examples:
                values = (task.id, e.row.tobytes(), e.text, e.picture, e.mime, now, owner, e.size)
                ids.append(c.execute(query, values).lastrowid)
                c.execute("INSERT INTO members VALUES (?, ?, ?, ?, NULL)", (task.id, ids[-1], e.label, version))
            if besides is not None:
                besides(c, task)
            quotas.check(c)
            counts: dict[str, int] = {}
            for e in examples:
                counts[e.label] = counts.get(e.label, 0) + 1
            return Done(action or "add " + listed([f"{n} to {label}" for label, n in counts.items()]), tuple(ids))

        return self.change("add", name, work, expected)

    def relabel(self, name: str, example: int, label: str, expected: int | None = None) -> Change:
        """Say that an example is of another class."""

        def work(c: Connection, task: Task, version: int) -> Done:
            before = _label(c, task, example)
            end(c, task, version, [example])
            # A row of its own: versions before this one still have the other class.
            c.execute("INSERT INTO members VALUES (?, ?, ?, ?, NULL)", (task.id, example, label, version))
            return Done(f"relabel {example} from {before} to {label}", (example,))

        return self.change("relabel", name, work, expected)

    def remove(self, name: str, example: int, expected: int | None = None) -> Change:
        """Take an example out; earlier versions keep it."""

        def work(c: Connection, task: Task, version: int) -> Done:
            before = _label(c, task, example)
            end(c, task, version, [example])
            return Done(f"remove {example} of {before}", (example,))

        return self.change("remove", name, work, expected)

    def drop(self, name: str, label: str, expected: int | None = None) -> Change:
        """Take a class out with all its examples; earlier versions keep them."""

        def work(c: Connection, task: Task, version: int) -> Done:
            # By name: the store has no statistics by which SQLite could choose an index.
            of_it = "SELECT example FROM members INDEXED BY members_now WHERE task = ? AND until IS NULL AND label = ?"
            ids = [row[0] for row in c.execute(f"{of_it} ORDER BY example", (task.id, label))]
            known = declared(c, task.id, task.version)
            if not ids and label not in known:
                raise MissingError(f"task '{name}' has no class '{label}': it has {listed(classes(c, task))}")
            end(c, task, version, ids)
            left = tuple(one for one in known if one != label) if label in known else None
            return Done(f"drop {label}", tuple(ids), declared=left)

        return self.change("drop", name, work, expected)

    def examples(self, name: str, label: str | None, limit: int, after: int) -> list[dict[str, Any]]:
        """A page of a task's examples, by id: `id`, `label`, `text`, `mime`, `added`, and `shape` of the rows."""
        query = (
            "SELECT e.id, m.label, e.text, e.mime, e.added FROM members m JOIN examples e ON e.id = m.example WHERE "
            "m.task = ? AND m.until IS NULL AND m.example > ?"
        )
        with self.database.snapshot() as c:
            task = read_task(c, name)
            values: list[Any] = [task.id, after]
            if label is not None:
                query, values = f"{query} AND m.label = ?", [*values, label]
            # Pages go by id: an example that is removed meanwhile moves none of the others.
            rows = c.execute(f"{query} ORDER BY m.example LIMIT ?", [*values, limit]).fetchall()
        return [dict(row) | {"shape": task.shape} for row in rows]

    def picture(self, name: str, example: int) -> tuple[bytes, str]:
        """An example's thumbnail, and its media type."""
        with self.database.snapshot() as c:
            task = read_task(c, name)
            query = "SELECT picture, mime FROM examples WHERE id = ? AND task = ? AND picture IS NOT NULL"
            row = c.execute(query, (_id(example), task.id)).fetchone()
        if row is None:
            raise MissingError(f"task '{name}' has no picture {example}")
        return row[0], row[1]

    def versions(self, name: str) -> list[dict[str, Any]]:
        """The history, oldest first: `version`, `time`, `action`, `classes`, `examples`."""
        query = "SELECT version, time, action, classes, examples FROM versions WHERE task = ? ORDER BY version"
        with self.database.snapshot() as c:
            return [dict(row) for row in c.execute(query, (read_task(c, name).id,))]

    def support(self, task: Task) -> tuple[np.ndarray, list[str]]:
        """[n, ...] rows and their labels, of the task at its version, in the order in which they were taught."""
        query = "SELECT id, row FROM examples WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(?)) ORDER BY id"
        # One state: what is erased between the two would be missed.
        with self.database.snapshot() as c:
            labels = {id: label for label, ids in learned(c, task).items() for id in ids}
            members = c.execute(query, (json.dumps(list(labels)),)).fetchall()
        if not members or task.shape is None or task.dtype is None:
            return np.zeros((0,)), []
        # The order in which they were taught decides how sums are rounded, so it is part of what a task is.
        rows = np.frombuffer(b"".join(row["row"] for row in members), np.dtype(task.dtype))
        return rows.reshape(len(members), *task.shape), [labels[row["id"]] for row in members]

    def change(
        self,
        verb: str,
        name: str,
        work: Callable[[Connection, Task, int], Done],
        expected: int | None,
    ) -> Change:
        """A new version, in one transaction.

        Args:
            verb: What the audit log calls it.
            name: Of the task.
            work: Changes the members of a task to those of the version that it is given.
            expected: The version that the client saw; None: any.

        Raises:
            StaleError: It has changed.
            InputError: The version is too large.
        """

        def make(c: Connection) -> Change:
            # Read inside of the transaction: two clients that saw the same version cannot both go on from it.
            task = read_task(c, name)
            if expected is not None and expected != task.version:
                raise StaleError(
                    f"the task is at version {task.version} now, not {expected}: look at it again, then decide"
                )
            version = task.version + 1
            done = work(c, task, version)
            # Counted after the change, whatever it was; a refusal undoes it.
            counts = classes(c, task, done.declared)
            if len(counts) > self.limits.classes:
                raise InputError(f"a task has at most {self.limits.classes:,} classes, these would be {len(counts):,}")
            total = sum(counts.values())
            used = total if task.budget is None else sum(min(n, task.budget) for n in counts.values())
            if used > self.limits.examples:
                raise InputError(f"a task learns from at most {self.limits.examples:,} examples, not {used:,}")
            # Version 0 is empty: undoing ends at the first one that was taught.
            undo, redo = (task.version or None, ()) if done.back is None else done.back
            known = None if done.declared is None else json.dumps(done.declared, ensure_ascii=False)
            values = (
                task.id,
                version,
                _now(),
                done.action,
                len(counts),
                total,
                undo,
                json.dumps(redo),
                done.same,
                known,
            )
            c.execute("INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
            c.execute("UPDATE tasks SET version = ? WHERE id = ?", (version, task.id))
            return Change(version=version, ids=done.ids, classes=counts)

        return self.once(audit.task(verb, name), make)


def _label(c: Connection, task: Task, example: int) -> str:
    query = "SELECT label FROM members INDEXED BY members_open WHERE task = ? AND example = ? AND until IS NULL"
    row = c.execute(query, (task.id, _id(example))).fetchone()
    if row is None:
        raise MissingError(f"task '{task.name}' has no example {example}")
    return row[0]


def _id(example: int) -> int:
    # SQLite has no larger numbers; as -1, which is none, they are answered like any other that is not there.
    return example if 0 <= example < 2**63 else -1


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
