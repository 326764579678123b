"""`/v2`: the Open Inference Protocol, version 2, which clients of KServe and Triton speak; its models are our tasks."""

from importlib import metadata
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from innerloop.service.http import payload, tensors
from innerloop.service.http.access import Reach
from innerloop.service.http.apart import apart
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.routes import REFUSALS, Name, Worker, counted

router = APIRouter(prefix="/v2", responses=REFUSALS, tags=["open inference protocol"])
# Digits only: nothing else is ever a version.
Version = Annotated[str, Path(pattern=r"^[0-9]{1,15}$", description="Of the task: the newest is served.")]
Length = Annotated[str | None, Header(alias=tensors.LENGTH, description="Bytes of JSON, where tensors come behind.")]
_EITHER: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/InferIn"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_MEDIA = ("application/json", "application/octet-stream", "")
_SAID: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}


class _Out(BaseModel):
    # The protocol's own names, of which pydantic keeps those that begin with model_.
    model_config = ConfigDict(protected_namespaces=())


class Server(_Out):
    """What this server is."""

    name: str = Field(examples=["innerloop"])
    version: str
    extensions: list[str] = Field(examples=[["binary_tensor_data"]])


class Live(_Out):
    """That it runs."""

    live: bool


class Ready(_Out):
    """That it can answer."""

    ready: bool


class Models(_Out):
    """Names of tasks."""

    models: list[str]


class ModelReady(_Out):
    """That a task can answer."""

    name: str
    ready: bool


class TensorOut(_Out):
    """A tensor that goes in or comes out; -1: any number."""

    name: str
    datatype: str
    shape: list[int]


class Model(_Out):
    """What a task is asked with, and what it answers."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorOut]
    outputs: list[TensorOut]


class Tensor(TensorOut):
    """A tensor of an answer."""

    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class Inferred(_Out):
    """What is answered."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[Tensor]


@router.get("")
async def server() -> Server:
    """What this server is, and which extensions it has."""
    return Server(name="innerloop", version=metadata.version("innerloop"), extensions=["binary_tensor_data"])


@router.get("/health/live")
async def live() -> Live:
    """That the server runs."""
    return Live(live=True)


@router.get("/health/ready")
async def ready(worker: Worker) -> Ready:
    """That its store works; it waits for nobody."""
    await counted(worker)
    return Ready(ready=True)


@router.get("/models")
async def models(worker: Worker, reach: Reach) -> Models:
    """All tasks that the key is for, by name."""
    tasks = await worker.threads.read(worker.store.tasks)
    return Models(models=[task.name for task, _ in tasks if task.name in reach])


@router.get("/models/{name}")
async def model(name: Name, worker: Worker) -> Model:
    """What a task is asked with, and what it answers."""
    task, classes, _ = await worker.described(name)
    return Model(
        name=task.name,
        versions=[str(task.version)],
        platform="innerloop",
        inputs=[TensorOut(**one) for one in tensors.inputs(task.kind)],
        outputs=[TensorOut(**one) for one in tensors.outputs(len(classes))],
    )


@router.get("/models/{name}/versions/{version}")
async def model_at(name: Name, version: Version, worker: Worker) -> Model:
    """The same of a version, which must be the newest."""
    found = await model(name, worker)
    _check_version(name, version, found.versions[0])
    return found


@router.get("/models/{name}/ready")
async def model_ready(name: Name, worker: Worker) -> ModelReady:
    """That a task can answer: it has learned what it was taught, and waits in memory."""
    task, _ = await worker.learned(name)
    return ModelReady(name=task.name, ready=True)


@router.get("/models/{name}/versions/{version}/ready")
async def model_ready_at(name: Name, version: Version, worker: Worker) -> ModelReady:
    """The same of a version, which must be the newest."""
    task, _ = await worker.learned(name)
    _check_version(name, version, str(task.version))
    return ModelReady(name=task.name, ready=True)


@router.post("/models/{name}/infer", response_model=Inferred, openapi_extra=_EITHER, responses=_SAID)
async def infer(name: Name, request: Request, worker: Worker, length: Length = None) -> Response:
    """The class of each example of one tensor, and how probable all classes are."""
    return await _infer(name, None, request, worker, length)


@router.post("/models/{name}/versions/{version}/infer", response_model=Inferred, openapi_extra=_EITHER, responses=_SAID)
async def infer_at(name: Name, version: Version, request: Request, worker: Worker, length: Length = None) -> Response:
    """The same by a version, which must be the newest."""
    return await _infer(name, version, request, worker, length)


async def _infer(name: str, wanted: str | None, request: Request, worker: Worker, length: str | None) -> Response:
    if (packed := request.headers.get("content-encoding", "identity")) != "identity":
        raise HTTPError(415, f"the body is packed with {packed[:20]}: send it as it is")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _MEDIA:
        raise HTTPError(415, f"the body is {kind[:100]}: send {' or '.join(filter(None, _MEDIA))}")
    content = await request.body()
    small = len(content) <= payload.SMALL
    asked = (content, length, worker.limits)
    inference = tensors.read(*asked) if small else await apart("tensors", tensors.read, *asked)
    version, predictions = await worker.predict(name, inference.raw)
    if wanted is not None:
        _check_version(name, wanted, str(version))
    body, headers = tensors.answer(name, version, inference.body, predictions)
    return Response(body, headers=headers)


def _check_version(name: str, wanted: str, there: str) -> None:
    if wanted != there:
        raise HTTPError(404, f"task '{name}' is at version {there}, which alone is served: ask without a version")
