"""What a key that is limited to some names reaches: tasks and taggers of these, and nothing that is not named here."""

from typing import Annotated

from fastapi import Depends, Request
from starlette.types import Scope

from innerloop.service.http.errors import HTTPError
from innerloop.service.store.keys import Key
from innerloop.service.task_names import spelled

KEY = "innerloop.key"
"""Where the guard puts a request's key in its scope."""
_NAMED = ("/api/tasks/{name}", "/api/taggers/{name}", "/v2/models/{name}", "/label-studio/{name}")
_LONGEST = 64
"""Characters of a name, as `task_names` has it; what is longer is none."""
_LOOKS_ITSELF = (
    *("/api/tasks", "/api/tasks/import", "/api/taggers", "/api/taggers/import", "/api/taggers/words", "/api/sources"),
    "/v2/models",
)
"""Paths whose routes leave out other tasks and taggers, refuse their names, or say nothing of any."""


class Access:
    """The tasks and taggers that a request may see and change."""

    def __init__(self, key: Key | None):
        self._tasks = None if key is None else key.tasks

    def __contains__(self, name: str) -> bool:
        return self._tasks is None or name in self._tasks

    def check(self, name: str | None) -> None:
        """Refuse a task or tagger that is not one of them, whether it is there or not.

        Args:
            name: Of the task or tagger; None: something else than these.

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
        of_one = path in _NAMED or path.startswith(tuple(f"{start}/" for start in _NAMED))
        (await access(request)).check(spelled(request.path_params["name"]) if of_one else None)


def named(scope: Scope) -> str | None:
    """Name of the task or tagger that a request is about, once its route is known; None: it is about none."""
    route = getattr(scope.get("route"), "path", "")
    if not any(route == start or route.startswith(f"{start}/") for start in _NAMED):
        return None
    return spelled(scope["path"].split("/")[route.split("/").index("{name}")][:_LONGEST])


Reach = Annotated[Access, Depends(access)]
