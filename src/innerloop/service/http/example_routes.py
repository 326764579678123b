"""`/api/tasks/{name}/examples`: teaching examples, looking at them, and putting right what was taught wrong."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from innerloop.service import task_names
from innerloop.service.http import payload
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.routes import (
    FILES,
    REFUSALS,
    Asked,
    Expected,
    Forever,
    Name,
    Worker,
    body_of,
    client_of,
    taught_out,
)
from innerloop.service.http.schemas import ExampleOut, ExamplesIn, HeldOut, RelabelIn, TaughtOut, VersionOut
from innerloop.service.store.held import Part

router = APIRouter(prefix="/api", responses=REFUSALS)
_LABELS = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string"},
    "description": "One label for all files, or one for each; left out where all are zips of a folder for each class.",
}

# SQLite's integers end there: a larger one would be a failure and not a 404.
Id = Annotated[int, Path(ge=0, lt=2**63, description="Of the example.", examples=[1])]
_EXAMPLES_BODY = body_of(ExamplesIn, {"label": _LABELS, "files": FILES})


@router.post(
    "/tasks/{name}/examples",
    status_code=201,
    tags=["examples"],
    response_model=TaughtOut,
    responses={202: {"model": HeldOut, "description": "Kept until the last part of the change is there."}},
    openapi_extra=_EXAMPLES_BODY,
)
async def add_examples(
    name: Name,
    request: Request,
    worker: Worker,
    seen: Expected,
    store: Asked,
    change: Annotated[
        str | None,
        Query(pattern=r"^[!-~]{1,200}$", description="Names a change that comes in several requests: one version."),
    ] = None,
    more: Annotated[
        bool, Query(description="More of the change is to come: nothing is learned before the last part. For a day.")
    ] = False,
) -> Any:
    """Teach examples, all or none of them; a label that is new makes a class. A zip's folders may be the classes."""
    given = await payload.examples(request, worker.limits)
    part = None if change is None else Part(client=client_of(request), name=change)
    if not more:
        return taught_out(await worker.teaching.teach(store, name, given.raw, seen, part=part), given.notices)
    if part is None:
        raise HTTPError(422, "more of a change is to come, and it has no name: give it as change")
    version, held = await worker.teaching.hold(store, name, given.raw, part)
    return JSONResponse({"version": version, "held": held, "notices": given.notices}, 202)


@router.get("/tasks/{name}/examples", tags=["examples"], response_model_exclude_none=True)
async def list_examples(
    name: Name,
    worker: Worker,
    label: Annotated[str | None, Query(description="Of this class only.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[int, Query(ge=0, lt=2**63, description="The last id of the page before.")] = 0,
) -> list[ExampleOut]:
    """Examples of the newest version, oldest first."""
    wanted = None if label is None else payload.label(label, worker.limits)
    examples = []
    for row in await worker.threads.read(worker.store.examples, name, wanted, limit, after):
        vector = row["text"] is None and row["mime"] is None
        examples.append(
            ExampleOut(
                id=row["id"],
                label=row["label"],
                added=row["added"],
                text=row["text"],
                picture=f"{task_names.address(name)}/examples/{row['id']}/picture" if row["mime"] else None,
                features=_product(row["shape"]) if vector else None,
            )
        )
    return examples


@router.get(
    "/tasks/{name}/examples/{id}/picture",
    tags=["examples"],
    response_class=Response,
    responses={200: {"content": {"image/png": {}, "image/jpeg": {}}}},
)
async def show_picture(name: Name, id: Id, worker: Worker) -> Response:
    """A small copy of the picture."""
    content, mime = await worker.threads.read(worker.store.picture, name, id)
    # No browser keeps it: it may be erased.
    return Response(content, media_type=mime)


@router.patch("/tasks/{name}/examples/{id}", tags=["examples"])
async def relabel_example(
    name: Name, id: Id, body: RelabelIn, worker: Worker, seen: Expected, store: Asked
) -> VersionOut:
    """Say that an example is of another class."""
    label = payload.label(body.label, worker.limits)
    change = await worker.threads.change(store.relabel, name, id, label, seen)
    return VersionOut(version=change.version)


@router.delete("/tasks/{name}/examples/{id}", tags=["examples"])
async def remove_example(
    name: Name,
    id: Id,
    worker: Worker,
    seen: Expected,
    store: Asked,
    forever: Forever = False,
) -> VersionOut:
    """Take an example out; earlier versions keep it, unless it is to be forgotten forever."""
    if forever:
        return VersionOut(version=(await worker.erase(store, name, id, seen)).version)
    return VersionOut(version=(await worker.threads.change(store.remove, name, id, seen)).version)


@router.delete("/tasks/{name}/classes/{label:path}", tags=["examples"])
async def drop_class(
    name: Name,
    label: Annotated[str, Path(description="Of the class.", examples=["card"])],
    worker: Worker,
    seen: Expected,
    store: Asked,
) -> VersionOut:
    """Take a class out with all its examples; earlier versions keep them."""
    wanted = payload.label(label, worker.limits)
    return VersionOut(version=(await worker.threads.change(store.drop, name, wanted, seen)).version)


def _product(shape: tuple[int, ...] | None) -> int | None:
    if shape is None:
        return None
    total = 1
    for n in shape:
        total *= n
    return total
