"""What the rows of a task have in common."""

import json
from collections.abc import Sequence

import numpy as np

from innerloop.core.errors import InputError
from innerloop.service.limits import Limits
from innerloop.service.store.database import Connection
from innerloop.service.store.errors import ConflictError
from innerloop.service.store.records import Task


def check_rows(c: Connection, task: Task, rows: Sequence[np.ndarray], limits: Limits) -> None:
    """Refuse rows that a task cannot learn from; the first ones decide what the others are like.

    Args:
        c: In a transaction.
        task: The task.
        rows: At least one.
        limits: How many a task keeps.

    Raises:
        ConflictError: There are too many.
        InputError: They are unlike those that it has.
    """
    # Examples that no newest version has are kept all the same, and fill the disk.
    kept = c.execute("SELECT count(*) FROM examples WHERE task = ?", (task.id,)).fetchone()[0]
    if kept + len(rows) > limits.kept:
        raise ConflictError(
            f"task '{task.name}' keeps {kept:,} examples in all its versions, and {limits.kept:,} is most"
        )
    dtype, shape = task.dtype, task.shape
    if dtype is None or shape is None:
        dtype, shape = rows[0].dtype.name, rows[0].shape
        c.execute("UPDATE tasks SET dtype = ?, shape = ? WHERE id = ?", (dtype, json.dumps(shape), task.id))
    wrong = next((row for row in rows if row.shape != shape), None)
    if wrong is not None:
        raise InputError(f"task '{task.name}' has examples of shape {list(shape)}, got {list(wrong.shape)}")
    if any(row.dtype.name != dtype for row in rows):
        kinds = ("picture files", "numbers") if dtype == "uint8" else ("numbers", "picture files")
        raise InputError(f"task '{task.name}' was taught {kinds[0]}, and these are {kinds[1]}: give the same kind")
