"""Taught examples by what an answer calls them: their class, and their number in it."""

from collections.abc import Iterable

from innerloop.service.store.records import Task
from innerloop.service.store.store import Store


def numbered(store: Store, task: Task, wanted: Iterable[tuple[str, int]]) -> dict[tuple[str, int], dict[str, object]]:
    """`id`, `text` and `mime` of examples of a task at its version; of what was erased since there is none.

    Args:
        store: Where the task is.
        task: At the version that answered.
        wanted: Classes, and numbers from 1 in the order in which a class was taught.
    """
    query = (
        "SELECT e.id, e.text, e.mime FROM members m JOIN examples e ON e.id = m.example WHERE m.task = ? AND "
        "m.label = ? AND m.since <= ? AND (m.until IS NULL OR m.until > ?) ORDER BY m.example LIMIT 1 OFFSET ?"
    )
    examples = {}
    with store.database.reading() as c:
        for label, number in dict.fromkeys(wanted):
            row = c.execute(query, (task.id, label, task.version, task.version, number - 1)).fetchone()
            if row is not None:
                examples[label, number] = dict(row)
    return examples
