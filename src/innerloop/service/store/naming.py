"""Classes that a task is told by their names after it was made."""

import json
from collections.abc import Sequence

from innerloop.service.store.database import Connection
from innerloop.service.store.errors import ConflictError
from innerloop.service.store.members import classes, declared, listed
from innerloop.service.store.records import Change, Done, Task
from innerloop.service.store.store import Store


def declare(
    store: Store, name: str, labels: Sequence[str], shape: Sequence[int], expected: int | None = None
) -> Change:
    """A new version that knows further classes by their names.

    Args:
        store: Where the task is.
        name: Of the task.
        labels: The classes.
        shape: Of a row, for a task that has seen no example.
        expected: The version that the client saw; None: any.

    Raises:
        ConflictError: There is such a class.
        MissingError: There is no such task.
        StaleError: It has changed.
    """

    def work(c: Connection, task: Task, version: int) -> Done:
        known = classes(c, task)
        taken = next((label for label in labels if label in known), None)
        if taken is not None:
            raise ConflictError(f"task '{name}' has a class '{taken}' already: give examples of it, or other names")
        if task.shape is None:
            about = (json.dumps(list(shape)), task.id)
            c.execute("UPDATE tasks SET dtype = 'float32', shape = ? WHERE id = ?", about)
        return Done(f"name {listed(labels)}", declared=(*declared(c, task.id, task.version), *labels))

    return store.change("name", name, work, expected)
