"""What is asked of a task's "none of these", which may change while what the task knows stays."""

from innerloop.fewshot.calibrate import Wanted
from innerloop.service.store import audit
from innerloop.service.store.database import Connection
from innerloop.service.store.records import Task, read_task
from innerloop.service.store.store import Store


def ask(store: Store, name: str, wanted: Wanted) -> Task:
    """Change what is asked; no new version, since no example has changed.

    Args:
        store: Where the task is.
        name: Of the task.
        wanted: What is asked from now on.

    Raises:
        MissingError: There is no such task.
    """

    def work(c: Connection) -> Task:
        task = read_task(c, name)
        c.execute("UPDATE tasks SET reject = ?, coverage = ? WHERE id = ?", (*wanted, task.id))
        return read_task(c, name)

    return store.once(audit.task("ask", name), work)
