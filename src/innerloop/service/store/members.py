"""Which classes a version has: those of its examples, and those that it was told by their names."""

import json
from collections.abc import Sequence

from innerloop.fewshot.budget import sample
from innerloop.service.store.database import Connection
from innerloop.service.store.records import Naming, Task


def begin(c: Connection, task: int, naming: Naming, now: str) -> None:
    """Keep how a new task reads names; where some are given, they are its first version."""
    about = (naming.asked, json.dumps(naming.descriptions, ensure_ascii=False), task)
    c.execute("UPDATE tasks SET names = ?, descriptions = ? WHERE id = ?", about)
    if not naming.classes:
        return
    known, count = json.dumps(naming.classes, ensure_ascii=False), len(naming.classes)
    values = (task, now, f"name {listed(naming.classes)}", count, known)
    c.execute("INSERT INTO versions VALUES (?, 1, ?, ?, ?, 0, NULL, '[]', NULL, ?)", values)
    query = "UPDATE tasks SET version = 1, dtype = 'float32', shape = ? WHERE id = ?"
    c.execute(query, (json.dumps(naming.shape), task))


def declared(c: Connection, task: int, version: int) -> tuple[str, ...]:
    """Classes that a version knows by their names, whether they have examples or not."""
    query = (
        "SELECT declared FROM versions INDEXED BY versions_declared WHERE task = ? AND version <= ? AND declared IS "
        "NOT NULL ORDER BY version DESC LIMIT 1"
    )
    row = c.execute(query, (task, version)).fetchone()
    return () if row is None else tuple(json.loads(row[0]))


def restored(c: Connection, task: Task, to: int) -> tuple[str, ...] | None:
    """What `Done.declared` is of going back to a version."""
    then = declared(c, task.id, to)
    return None if then == declared(c, task.id, task.version) else then


def classes(c: Connection, task: Task, known: Sequence[str] | None = None) -> dict[str, int]:
    """The number of examples of each class of the newest version.

    Args:
        c: A connection.
        task: The task.
        known: Classes that are known by their names; None: those of its version.
    """
    query = "SELECT label, count(*) FROM members WHERE task = ? AND until IS NULL GROUP BY label ORDER BY label"
    counts = {row[0]: row[1] for row in c.execute(query, (task.id,))}
    return with_names(counts, declared(c, task.id, task.version) if known is None else known)


def learned(c: Connection, task: Task) -> dict[str, list[int]]:
    """Ids of the examples of each class that a task learns from at its version, in the order of teaching."""
    query = (
        "SELECT label, example FROM members WHERE task = ? AND since <= ? AND (until IS NULL OR until > ?) "
        "ORDER BY example"
    )
    ids: dict[str, list[int]] = {}
    for label, example in c.execute(query, (task.id, task.version, task.version)):
        ids.setdefault(label, []).append(example)
    if task.budget is None:
        return ids
    # All are on the disk, so that every version can come back, and every time the same ones are drawn.
    return {label: sample(label, task.budget, [], 0, some) for label, some in ids.items()}


def with_classes(c: Connection, tasks: Sequence[Task]) -> list[tuple[Task, dict[str, int]]]:
    """All tasks of a store, with their `classes`."""
    counts: dict[int, dict[str, int]] = {}
    # One query for all: a thousand tasks would be a thousand queries.
    grouped = "SELECT task, label, count(*) FROM members WHERE until IS NULL GROUP BY task, label ORDER BY task, label"
    for id, label, n in c.execute(grouped):
        counts.setdefault(id, {})[label] = n
    some = {row[0] for row in c.execute("SELECT DISTINCT task FROM versions WHERE declared IS NOT NULL")}
    known = {task.id: declared(c, task.id, task.version) for task in tasks if task.id in some}
    return [(task, with_names(counts.get(task.id, {}), known.get(task.id, ()))) for task in tasks]


def with_names(counts: dict[str, int], known: Sequence[str]) -> dict[str, int]:
    """Classes by name, those without examples among them."""
    return dict(sorted((dict.fromkeys(known, 0) | counts).items())) if known else counts


def end(c: Connection, task: Task, version: int, ids: Sequence[int]) -> None:
    """Have examples in no class from a version on."""
    # By the index of what is open: the other ones have every class that an example was ever in.
    ended = "UPDATE members INDEXED BY members_open SET until = ? WHERE task = ? AND example = ? AND until IS NULL"
    c.executemany(ended, [(version, task.id, id) for id in ids])


def listed(names: Sequence[str] | dict[str, int]) -> str:
    """A few names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else "none"
