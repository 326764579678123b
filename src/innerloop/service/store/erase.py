"""An example, or a whole task or tagger, out of every file of the store; it cannot be undone."""

from innerloop.service.store import answers, audit
from innerloop.service.store.database import Connection, leave_bytes
from innerloop.service.store.errors import MissingError
from innerloop.service.store.evaluations import forget
from innerloop.service.store.records import Change, Done, Task, delete_task, read_task
from innerloop.service.store.store import Store
from innerloop.service.store.taggers import removed
from innerloop.service.store.undo import pointers

_FEWER = "UPDATE versions SET examples = examples - 1 WHERE task = ? AND version >= ? AND version < ?"
_WITHOUT = (
    "UPDATE versions SET classes = classes - 1 WHERE task = ? AND version >= ? AND version < ? AND NOT EXISTS ("
    "SELECT 1 FROM members m WHERE m.task = versions.task AND m.label = ? AND m.since <= versions.version AND "
    "(m.until IS NULL OR m.until > versions.version)) AND NOT EXISTS (SELECT 1 FROM json_each((SELECT v.declared FROM "
    "versions v WHERE v.task = versions.task AND v.version <= versions.version AND v.declared IS NOT NULL ORDER BY "
    "v.version DESC LIMIT 1)) WHERE value = ?)"
)
"""A class is gone with its last example, unless it is known by its name."""


def erase(store: Store, name: str, example: int, expected: int | None = None, bare: bytes | None = None) -> Change:
    """A new version, after which no version has the example; `Database.scrub` overwrites what is left of its bytes.

    Args:
        store: Where the task is.
        name: Of the task.
        example: One that any version has.
        expected: The version that the client saw; None: any.
        bare: What stands for the file that the task came as from now on, without any example; None: it came as none.

    Raises:
        MissingError: There is no such task or example.
        StaleError: It has changed.
    """

    def work(c: Connection, task: Task, version: int) -> Done:
        query = "SELECT label, since, coalesce(until, ?) FROM members WHERE task = ? AND example = ?"
        # Any number may be asked for, and SQLite has no larger ones.
        spans = c.execute(query, (version, task.id, min(example, 2**63 - 1))).fetchall()
        if not spans:
            raise MissingError(f"task '{name}' has no example {example}, nor had any version of it")
        # Its memberships go with it, so that the counts below are of what is left.
        c.execute("DELETE FROM examples WHERE id = ?", (example,))
        forget(c, task.id)  # they were asked about it
        for label, since, until in spans:
            c.execute(_FEWER, (task.id, since, until))
            c.execute(_WITHOUT, (task.id, since, until, label, label))
        # Under the old hash, by which the file is known when it is imported again.
        if bare is not None:
            c.execute("UPDATE files SET content = ? WHERE hash = ?", (bare, task.file))
        leave_bytes(c)
        # Undoing goes on to the change before this one, which nothing brings back.
        return Done(f"erase {example}", (example,), back=(pointers(c, task, task.version)[0], ()))

    return store.change("erase", name, work, expected)


def erase_task(store: Store, name: str) -> Task:
    """Forget a task with all its examples and versions; `Database.scrub` overwrites what is left of their bytes.

    Args:
        store: Where the task is.
        name: Of the task.

    Raises:
        MissingError: There is no such task.
    """

    def work(c: Connection) -> Task:
        answers.forget(c, read_task(c, name).id)
        task = delete_task(c, name)
        leave_bytes(c)
        return task

    return store.once(audit.task("erase", name), work)


def erase_tagger(store: Store, name: str) -> Change:
    """Forget a tagger with all its sentences and versions; `Database.scrub` overwrites what is left of their bytes.

    Args:
        store: Where the tagger is.
        name: Of the tagger.

    Returns:
        Its last version, with its own id.

    Raises:
        MissingError: There is no such tagger.
    """

    def work(c: Connection) -> Change:
        tagger = removed(c, name)
        leave_bytes(c)
        return Change(version=tagger.version, ids=(tagger.id,))

    return store.once(audit.tagger("erase", name), work)
