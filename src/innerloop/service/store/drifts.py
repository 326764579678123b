"""What is known of the drift of tasks: one row each, whichever worker answered, before and after a restart."""

from collections.abc import Mapping, Sequence

from innerloop.fewshot.drift import Drift
from innerloop.service.store.database import Connection
from innerloop.service.store.records import Task
from innerloop.service.store.store import Store


def answered(c: Connection, task: Task, right: bool) -> None:
    """Note the feedback to an answer, on a connection in the transaction in which it is learned from."""
    _keep(c, task.id, Drift.from_json(task.drift).answered(right))


def asked(store: Store, distances: Mapping[int, Sequence[float]]) -> None:
    """Note how far requests lay from the classes of tasks, by their ids, in the order in which they came.

    Raises:
        StoreError: It cannot be written.
    """
    with store.database.writing() as c:
        for task, values in distances.items():
            row = c.execute("SELECT drift FROM tasks WHERE id = ?", (task,)).fetchone()
            if row is None:  # it was deleted
                continue
            drift = Drift.from_json(row["drift"])
            for value in values:
                drift = drift.asked(value)
            _keep(c, task, drift)


def every(store: Store) -> list[tuple[str, Drift]]:
    """The tasks of which something was noted, by name."""
    with store.database.reading() as c:
        rows = c.execute("SELECT name, drift FROM tasks WHERE drift IS NOT NULL ORDER BY name").fetchall()
    return [(row["name"], Drift.from_json(row["drift"])) for row in rows]


def _keep(c: Connection, task: int, drift: Drift) -> None:
    c.execute("UPDATE tasks SET drift = ? WHERE id = ?", (drift.to_json(), task))
