"""The road of what is asked most, `POST /api/tasks/{name}/predict` with JSON, past the framework.

FastAPI's layers, router and dependencies take longer than everything else that is done for a short text but to encode
it. Under the same guard, a plain request is answered here by the functions that its route calls; one that is not plain,
or would be refused by the framework, goes the framework's way.
"""

import re

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from innerloop.core.errors import InputError
from innerloop.service import task_names
from innerloop.service.http import payload
from innerloop.service.http.access import KEY, Access
from innerloop.service.http.service import Service

_PATH = re.compile("/api/tasks/([^/]+)/predict")


class PredictRoad:
    """ASGI middleware inside of the guard."""

    def __init__(self, app: ASGIApp, service: Service, route: BaseRoute):
        """Stand before the application.

        Args:
            app: What answers all other requests.
            service: The worker.
            route: The framework's own, by which the guard counts.
        """
        self._app, self._service, self._route = app, service, route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        name = _task(scope)
        if name is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route
        Access(scope.get(KEY)).check(name)
        given = await payload.questions(Request(scope, receive), self._service.limits)
        version, predictions = await self._service.predict(name, given.raw)
        answer = JSONResponse({"version": version, "predictions": given.named(predictions)} | given.noticed)
        await answer(scope, receive, send)


def _task(scope: Scope) -> str | None:
    """The task that a plain request is about; None: it is another one."""
    if scope["type"] != "http" or scope["method"] != "POST" or scope["query_string"]:
        return None
    path = _PATH.fullmatch(scope["path"])
    try:
        name = None if path is None else task_names.checked(path[1])
    except InputError:  # which the framework tells in its way
        return None
    return None if name is None or payload.is_multipart(Request(scope)) else name
