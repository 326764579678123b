"""The service as an ASGI application; `innerloop.service.http.running` starts it."""

import contextlib
import functools
import gc
import json
import os
from collections.abc import AsyncIterator
from importlib import metadata
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from innerloop.service import logs
from innerloop.service.http import (
    audit_routes,
    chat_routes,
    ending,
    example_routes,
    folder_routes,
    generation_routes,
    inference_routes,
    label_routes,
    naming_routes,
    quality_routes,
    read_routes,
    recommender_routes,
    routes,
    table_routes,
    tagger_routes,
    watch_routes,
)
from innerloop.service.http.access import permitted
from innerloop.service.http.errors import ANSWERED, HTTPError, as_http
from innerloop.service.http.guard import Guard, answer
from innerloop.service.http.predict_road import PredictRoad
from innerloop.service.http.schemas import ExampleIn, ExamplesIn, PredictBody
from innerloop.service.http.service import Service
from innerloop.service.http.tensors import InferIn
from innerloop.service.http.values import first
from innerloop.service.settings import ENVIRONMENT, Settings

_ABOUT = (
    "Learn classes from a handful of examples: make a task, teach it, ask it, correct it, go back. Every error is one "
    'message, `{"error": ...}`. Where keys are demanded, send `Authorization: Bearer <key>`.'
)


def create(settings: Settings) -> FastAPI:
    """The application of one worker.

    Args:
        settings: How it is run.

    Raises:
        InputError: The store or a source cannot be used.
    """
    service = Service(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Here, where uvicorn's own handlers are in place: set before, these would be replaced by them.
        ending.in_time()
        yield
        service.close()

    app = FastAPI(
        title="innerloop",
        version=metadata.version("innerloop"),
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,  # these pages load scripts from elsewhere; ours is in read_routes
        redoc_url=None,
        dependencies=[Depends(permitted)],
        openapi_url=None,  # it would be written anew for everyone who asks
    )
    app.state.service = service
    app.include_router(routes.router)
    app.include_router(example_routes.router)
    app.include_router(folder_routes.router)
    app.include_router(table_routes.router)
    app.include_router(quality_routes.router)
    app.include_router(naming_routes.router)
    app.include_router(generation_routes.router)
    app.include_router(chat_routes.router)
    app.include_router(tagger_routes.router)
    app.include_router(recommender_routes.router)
    app.include_router(watch_routes.router)
    app.include_router(inference_routes.router)
    app.include_router(label_routes.router)
    app.include_router(audit_routes.router)
    app.include_router(read_routes.router)
    app.add_middleware(PredictRoad, service=service, route=_predict_route())
    app.add_middleware(Guard, service=service)  # the last is the outermost
    for refusal in ANSWERED:
        app.add_exception_handler(refusal, _refusal)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.openapi = lambda: _document(app)
    app.add_api_route("/openapi.json", functools.partial(_written, app), include_in_schema=False)
    return app


def _predict_route() -> BaseRoute:
    return next(route for route in routes.router.routes if getattr(route, "endpoint", None) is routes.predict)


def from_environment() -> FastAPI:
    """The application of a worker that was started by another process."""
    ending.with_parent()
    settings = Settings.from_json(os.environ[ENVIRONMENT])
    if settings.log == "json":
        logs.set_up("json")
    app = create(settings)
    settled()
    return app


def settled() -> None:
    """Tell the collector that what is there by now stays: it would look through all of torch again and again."""
    gc.collect()
    gc.freeze()


async def _written(app: FastAPI) -> Response:
    if not hasattr(app.state, "document"):
        app.state.document = json.dumps(app.openapi()).encode()
    return Response(app.state.document, media_type="application/json")


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for model in (ExampleIn, ExamplesIn, PredictBody, InferIn):  # read by hand: they come otherwise as well
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= schema.pop("$defs", {})
            schemas[model.__name__] = schema
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        # The empty one: on loopback no key is demanded.
        document["security"] = [{}, {"key": []}]
        app.openapi_schema = document
    return app.openapi_schema


def _refused(problem: HTTPError, headers: dict[str, str] | None = None) -> Response:
    body, own = answer(problem)
    return Response(body, problem.status, (headers or {}) | own)


async def _refusal(request: Request, error: Exception) -> Response:
    return _refused(as_http(error))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, HTTPError):  # a body that was stopped while the framework read it
        return _refused(error.__cause__)
    meanings = {404: f"there is nothing at {request.url.path[:200]}", 405: f"{request.method} is not for this path"}
    return _refused(
        HTTPError(error.status_code, meanings.get(error.status_code, str(error.detail))), dict(error.headers or {})
    )


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = error.errors()
    status = 400 if any(e["type"] == "json_invalid" for e in errors) else 422
    return _refused(HTTPError(status, first(errors)))
