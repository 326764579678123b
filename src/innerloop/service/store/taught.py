"""Taught examples by what an answer calls them: their class, and their number in it."""

from collections.abc import Iterable

from innerloop.service.store.members import learned
from innerloop.service.store.records import Task
from innerloop.service.store.store import Store


def numbered(store: Store, task: Task, wanted: Iterable[tuple[str, int]]) -> dict[tuple[str, int], dict[str, object]]:
    """`id`, `text` and `mime` of examples of a task at its version; of what was erased since there is none.

    Args:
        store: Where the task is.
        task: At the version that answered.
        wanted: Classes, and numbers from 1 in the order in which a class was taught.
    """
    examples = {}
    with store.database.snapshot() as c:
        ids = learned(c, task)
        for label, number in dict.fromkeys(wanted):
            (id,) = ids.get(label, [])[number - 1 : number] or (None,)
            row = c.execute("SELECT id, text, mime FROM examples WHERE id = ?", (id,)).fetchone()
            if row is not None:
                examples[label, number] = dict(row)
    return examples
