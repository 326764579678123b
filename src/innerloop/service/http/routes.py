"""`/api/tasks`: making tasks, teaching them, asking them, going back."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from innerloop.fewshot.budget import told
from innerloop.fewshot.drift import Drift
from innerloop.service import task_names
from innerloop.service.http import payload
from innerloop.service.http.access import KEY, Reach
from innerloop.service.http.adapted import Measured
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.named import TaskName
from innerloop.service.http.schemas import (
    AskedIn,
    ClassOut,
    Error,
    ExampleIn,
    FeedbackIn,
    HistoryOut,
    PredictBody,
    PredictionsOut,
    RollbackIn,
    TaskIn,
    TaskOut,
    TaughtOut,
    UndoIn,
    VersionOut,
)
from innerloop.service.http.service import Service
from innerloop.service.store import undo as history
from innerloop.service.store.answers import Once
from innerloop.service.store.records import Change, Task
from innerloop.service.store.store import Store

_MEANINGS = {
    400: "The request cannot be read.",
    401: "No API key, or an unknown one.",
    403: "The API key may not do that, or the request comes from another site's page.",
    404: "There is no such thing.",
    405: "That method is not for this path.",
    408: "The body came too slowly.",
    409: "What there is does not allow it.",
    410: "No longer remembered.",
    412: "The task is at another version than If-Match says.",
    413: "Too large, or too many.",
    415: "The body is of another media type.",
    421: "The server is not called so.",
    422: "A value is not acceptable.",
    429: "Too many requests.",
    431: "The address and the headers are too large, or too many.",
    507: "The API key stores as much as it may.",
    503: "The server or its disk is busy: try again.",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": meaning} for status, meaning in _MEANINGS.items()
}
router = APIRouter(prefix="/api", responses=REFUSALS)
FILES = {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
_IMPORT_FORM = {
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "What `innerloop adapt` or a download wrote."},
        "name": {"type": "string", "description": f"Of the task: {task_names.RULE}; without it, that of the file."},
    },
}
_IMPORT_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _IMPORT_FORM}}}}

Name = Annotated[TaskName, Path(description="Of the task.")]
Forever = Annotated[
    bool, Query(description="Erase it from every version and every file of the store; this cannot be undone.")
]


async def service(request: Request) -> Service:
    """The worker that answers; async, as everything else here that does not wait, because a thread costs more."""
    return request.app.state.service


async def expected(
    if_match: Annotated[
        str | None, Header(description="The version that was seen; another one is refused (412).", examples=['"3"'])
    ] = None,
) -> int | None:
    """The version that a change is meant for."""
    if if_match is None or if_match.strip() == "*":
        return None
    digits = if_match.strip().removeprefix("W/").strip('"')
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        raise HTTPError(400, f'If-Match must be a version such as "3", got {if_match[:50]!r}')
    return int(digits)


Worker = Annotated[Service, Depends(service)]
Expected = Annotated[int | None, Depends(expected)]


async def counted(worker: Service) -> int:
    """The number of tasks, for who asks whether the store works; nobody else waits for one at another program."""
    store = worker.store
    return store.count() if store.database.instant else await worker.threads.read(store.count)


async def asked(
    request: Request,
    worker: Worker,
    idempotency_key: Annotated[
        str | None,
        Header(
            pattern=r"^[!-~]{1,200}$",
            description="Names this change: sent again with the same body it is made once, and answered as the first "
            "time; with another body it is refused (409). Kept for a day, 10,000 of all clients.",
            examples=["7f1a0c2e9b"],
        ),
    ] = None,
) -> Store:
    """The store as this request changes it."""
    if idempotency_key is None:
        return worker.store
    digest = await payload.digest(request)
    return worker.store.asked(Once(client=client_of(request), key=idempotency_key, digest=digest))


def client_of(request: Request) -> str:
    """Whose names of changes those of a request are: nobody is answered with what another client changed."""
    key = request.scope.get(KEY)
    return "" if key is None else str(key.id)


Asked = Annotated[Store, Depends(asked)]


def body_of(model: type, form: dict[str, Any]) -> dict[str, Any]:
    schemas = {
        "application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}},
        "multipart/form-data": {
            "schema": {"type": "object", "properties": form, "required": ["files"], "additionalProperties": False},
            "encoding": {"files": {"contentType": "image/png, image/jpeg, audio/wav, application/zip"}},
        },
    }
    return {"requestBody": {"required": True, "content": schemas}}


def _classes(counts: dict[str, int]) -> list[ClassOut]:
    return [ClassOut(label=label, examples=n) for label, n in counts.items()]


def _task(task: Task, counts: dict[str, int], measured: Measured | None) -> TaskOut:
    return TaskOut(
        name=task.name,
        source=task.source,
        kind=task.kind,
        version=task.version,
        created=task.created,
        classes=_classes(counts),
        reject=task.reject,
        coverage=task.coverage,
        calibration=None if measured is None else measured.calibration,
        head=None if task.head is None else {"asked": task.head} | ((measured and measured.head) or {}),
        names=None if task.names is None else {"asked": task.names} | ((measured and measured.names) or {}),
        tuning=None if measured is None else measured.tuning,
        budget=told(task.budget, counts),
        drift=Drift.from_json(task.drift).told(),
    )


def taught_out(change: Change, notices: list[str] | None = None) -> TaughtOut:
    """What a change taught, as it is answered."""
    classes = _classes(change.classes)
    return TaughtOut(version=change.version, ids=list(change.ids), classes=classes, notices=notices or [])


# Routes are tried in their order, and this one is asked most.
@router.post(
    "/tasks/{name}/predict",
    tags=["predictions"],
    response_model=PredictionsOut,
    openapi_extra=body_of(PredictBody, {"files": FILES}),
)
async def predict(
    name: Name,
    request: Request,
    worker: Worker,
    explain: Annotated[bool, Query(description="With the taught examples that are nearest to each.")] = False,
    sets: Annotated[
        float | None, Query(gt=0, lt=1, description="With the fewest classes that hold the right one so often.")
    ] = None,
) -> Response:
    """The class of one example or of many; null where it is none of these."""
    given = await payload.questions(request, worker.limits)
    version, predictions = await worker.predict(name, given.raw, explain, sets)
    # No model is made of it, which would check every probability once more.
    return JSONResponse({"version": version, "predictions": given.named(predictions)} | given.noticed)


@router.post("/tasks", status_code=201, tags=["tasks"])
async def create_task(body: TaskIn, worker: Worker, store: Asked, reach: Reach) -> TaskOut:
    """Make a task; it is taught by giving it examples, or told its classes where an encoder reads their names."""
    # The name is in the body, where `permitted` cannot see it.
    reach.check(body.name)
    classes = [payload.label(one, worker.limits, f"classes[{i}]") for i, one in enumerate(body.classes or ())]
    how = (body.wanted, body.head, body.names, body.descriptions, classes, body.budget)
    source = await worker.source_of(body.source, body.prior)
    task = await worker.create(store, body.name, source, *how)
    return _task(task, dict.fromkeys(sorted(classes), 0), None)


@router.post("/tasks/import", status_code=201, tags=["tasks"], openapi_extra=_IMPORT_BODY)
async def import_task(request: Request, worker: Worker, store: Asked, reach: Reach) -> TaskOut:
    """Make a task of a `.fewshot` file, with all its versions; no code that it names is run."""
    name, file_name, content = await payload.task_file(request)
    name = name or task_names.of_file(file_name)
    reach.check(name)
    return _task(*await worker.take(store, name, content))


@router.get("/tasks", tags=["tasks"])
async def list_tasks(worker: Worker, reach: Reach) -> list[TaskOut]:
    """All tasks that the key is for, by name."""
    tasks = await worker.threads.read(worker.store.tasks)
    return [_task(task, counts, worker.measured(task)) for task, counts in tasks if task.name in reach]


@router.get("/tasks/{name}", tags=["tasks"])
async def show_task(name: Name, worker: Worker) -> TaskOut:
    """One task."""
    return _task(*await worker.described(name))


@router.patch("/tasks/{name}", tags=["tasks"])
async def ask_task(name: Name, body: AskedIn, worker: Worker, store: Asked) -> TaskOut:
    """Ask another share of strangers, or another coverage, of "none of these"; what the task knows stays."""
    return _task(*await worker.ask(store, name, body.wanted))


@router.delete("/tasks/{name}", status_code=204, tags=["tasks"])
async def delete_task(name: Name, worker: Worker, store: Asked, forever: Forever = False) -> Response:
    """Forget a task with all its examples and versions."""
    await (worker.erase_task(store, name) if forever else worker.delete(store, name))
    return Response(status_code=204)


@router.post("/tasks/{name}/feedback", status_code=201, tags=["predictions"])
async def feedback(name: Name, body: FeedbackIn, worker: Worker, seen: Expected, store: Asked) -> TaughtOut:
    """Say what a prediction should have been: its example is learned from.

    Predictions are remembered for a while; afterwards (410) the example itself is sent.
    """
    label = payload.label(body.label, worker.limits)
    itself = any(value is not None for value in (body.text, body.features, body.image, body.sound))
    if itself == (body.prediction is not None):
        raise HTTPError(422, "give either the prediction's id, or the example itself as text, features, image or sound")
    if body.prediction is not None:
        return taught_out(await worker.teaching.feedback(store, name, body.prediction, label, seen))
    raw = payload.example(
        ExampleIn(label=label, text=body.text, features=body.features, image=body.image, sound=body.sound),
        worker.limits,
    )
    return taught_out(await worker.teaching.teach(store, name, [raw], seen, f"feedback: 1 to {label}"))


@router.get("/tasks/{name}/versions", tags=["versions"])
async def list_versions(name: Name, worker: Worker) -> list[HistoryOut]:
    """Every version there was, oldest first."""
    return [HistoryOut(**row) for row in await worker.threads.read(worker.store.versions, name)]


@router.post("/tasks/{name}/undo", tags=["versions"])
async def undo(name: Name, worker: Worker, seen: Expected, store: Asked, body: UndoIn | None = None) -> VersionOut:
    """Make a new version that holds what an old one held: the one before the last change, or any."""
    to = None if body is None else body.to
    return VersionOut(version=(await worker.threads.change(history.undo, store, name, to, seen)).version)


@router.post("/tasks/{name}/redo", tags=["versions"])
async def redo(name: Name, worker: Worker, seen: Expected, store: Asked) -> VersionOut:
    """Take back the last undo, as long as nothing was changed since."""
    return VersionOut(version=(await worker.threads.change(history.redo, store, name, seen)).version)


@router.post("/tasks/{name}/rollback", tags=["versions"], include_in_schema=False)
async def roll_back(name: Name, body: RollbackIn, worker: Worker, seen: Expected, store: Asked) -> VersionOut:
    """`undo` to a version, by the name that it had before."""
    change = await worker.threads.change(history.undo, store, name, body.version, seen)
    return VersionOut(version=change.version)


@router.get(
    "/tasks/{name}/download",
    tags=["tasks"],
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def download_task(name: Name, worker: Worker) -> Response:
    """The task as a portable file with all its versions, for `innerloop predict` and `FewShotClassifier.load`."""
    headers = {"content-disposition": task_names.disposition(name)}
    return Response(await worker.file(name), media_type="application/octet-stream", headers=headers)
