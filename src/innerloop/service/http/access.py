"""What a key that is limited to some tasks reaches: those, and nothing that a route does not name here."""

from typing import Annotated

from fastapi import Depends, Request

from innerloop.service.http.errors import HTTPError
from innerloop.service.store.keys import Key
from innerloop.service.task_names import spelled

KEY = "innerloop.key"
"""Where the guard puts a request's key in its scope."""
_TASK = "/api/tasks/{name}"
_LOOKS_ITSELF = ("/api/tasks", "/api/tasks/import", "/api/sources")
"""Paths whose routes leave out other tasks, refuse their names, or say nothing of any task."""


class Access:
    """The tasks that a request may see and change."""

    def __init__(self, key: Key | None):
        self._tasks = None if key is None else key.tasks

    def __contains__(self, name: str) -> bool:
        return self._tasks is None or name in self._tasks

    def check(self, name: str | None) -> None:
        """Refuse a task that is not one of them, whether it is there or not.

        Args:
            name: Of the task; None: something else than a task.

        Raises:
            HTTPError: It is out of reach (403).
        """
        # The same for a task that is not there: a limited key must not learn which names are taken.
        if self._tasks is not None and (name is None or name not in self._tasks):
            raise HTTPError(403, f"this API key is for {', '.join(self._tasks)} alone: ask for another key")


async def access(request: Request) -> Access:
    """What a request's key reaches."""
    # No key in the scope: the path is open, or this server demands none.
    return Access(request.scope.get(KEY))


async def permitted(request: Request) -> None:
    """Stand before every route: one that nobody thought of here is closed to limited keys.

    Raises:
        HTTPError: The key does not reach it (403).
    """
    # The route's pattern, not the path that was sent: no spelling of a path gets around it.
    path = request.scope["route"].path
    if path not in _LOOKS_ITSELF:
        of_task = path == _TASK or path.startswith(f"{_TASK}/")
        (await access(request)).check(spelled(request.path_params["name"]) if of_task else None)


Reach = Annotated[Access, Depends(access)]
