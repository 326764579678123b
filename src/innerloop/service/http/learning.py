"""A task as it is learned from what the store keeps of it."""

from innerloop.core.errors import InputError
from innerloop.fewshot.sources import Source
from innerloop.service.http.adapted import Adapted
from innerloop.service.http.errors import HTTPError
from innerloop.service.store.records import Task
from innerloop.service.store.store import Store


def learned(store: Store, task: Task, source: Source) -> Adapted:
    """What answers for a task.

    Args:
        store: Where its examples are.
        task: At the version that is to answer.
        source: What it is taught to.

    Raises:
        HTTPError: It has too few classes, or cannot be learned.
    """
    rows, labels = store.support(task)
    named = store.declared(task)
    if (classes := len({*labels, *named})) < 2:
        raise HTTPError(
            409,
            f"task '{task.name}' has {classes} classes, and telling classes apart needs at least 2: "
            "teach it examples of another class",
        )
    try:
        return Adapted(source, rows, labels, task.wanted, named)
    except InputError as error:
        raise HTTPError(409, f"task '{task.name}' cannot be learned: {error}") from error
