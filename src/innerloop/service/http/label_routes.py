"""`/label-studio/{name}`: what Label Studio asks of a model, answered by a task or a tagger of this service."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from innerloop.service.http.errors import HTTPError
from innerloop.service.http.routes import REFUSALS, Name, Worker, counted

router = APIRouter(prefix="/label-studio/{name}", responses=REFUSALS, tags=["label studio"])
_CHANGED = ("ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED")
_DELETED = ("ANNOTATION_DELETED", "ANNOTATIONS_DELETED")
_CONFIG = (
    "<View><Text name='text' value='$text'/><Choices name='topic' toName='text'><Choice value='card'/></Choices></View>"
)
_Objects = Annotated[list[dict[str, Any]], Field(min_length=1)]


class _In(BaseModel):
    # Label Studio sends more than is read here, and more with every release.
    model_config = ConfigDict(strict=True, extra="ignore", protected_namespaces=())


class SetupIn(_In):
    """A project that is connected."""

    config: str = Field(alias="schema", examples=[_CONFIG])


class TasksIn(_In):
    """Tasks of a project."""

    label_config: str = Field(examples=[_CONFIG])
    tasks: _Objects = Field(examples=[[{"id": 1, "data": {"text": "my card was stolen"}}]])


class Project(_In):
    """A project."""

    id: int = Field(ge=0, lt=2**63)
    label_config: str = ""


class EventIn(_In):
    """What happened."""

    action: str = Field(max_length=100, examples=["ANNOTATION_CREATED"])
    project: Project | None = None
    annotation: dict[str, Any] | list[dict[str, Any]] | None = None
    annotations: list[dict[str, Any]] | None = None
    task: dict[str, Any] | list[dict[str, Any]] | None = None
    tasks: list[dict[str, Any]] | None = None


class Up(BaseModel):
    """That it works."""

    status: str = Field(examples=["UP"])
    model_class: str


class SetupOut(BaseModel):
    """The version that answers."""

    model_config = ConfigDict(protected_namespaces=())
    model_version: str


class LabelledOut(SetupOut):
    """Predictions for tasks, in their order."""

    results: list[dict[str, Any]] = Field(description="Each with result, score (lowest first to label) and version.")


class EventOut(BaseModel):
    """What was done."""

    status: str = Field(examples=["ok", "ignored"])
    done: list[str] = Field(description="For each annotation.", examples=[["learned"]])


@router.get("/health")
async def health(name: Name, worker: Worker) -> Up:
    """That the service works."""
    await counted(worker)
    return Up(status="UP", model_class="innerloop")


@router.post("/setup")
async def setup(name: Name, body: SetupIn, worker: Worker) -> SetupOut:
    """Whether the labelling configuration of a project is one that the task or tagger answers."""
    return SetupOut(model_version=await worker.labelling.setup(name, body.config))


@router.post("/predict")
async def predict(name: Name, body: TasksIn, worker: Worker) -> LabelledOut:
    """A choice, or spans, for each task of a project."""
    version, results = await worker.labelling.predict(name, body.label_config, body.tasks)
    return LabelledOut(model_version=version, results=[one | {"model_version": version} for one in results])


@router.post("/webhook", status_code=201)
async def webhook(name: Name, body: EventIn, worker: Worker) -> EventOut:
    """Learn from annotations that are made, changed or deleted; each once, whatever the order in which it is told."""
    known = [*_CHANGED, *_DELETED]
    if body.action not in known:
        return EventOut(status="ignored", done=[])
    if body.project is None:
        raise HTTPError(422, f"{body.action} comes without its project: let the webhook send its payload")
    annotations = [*_listed(body.annotation), *(body.annotations or [])]
    if not annotations:
        raise HTTPError(422, f"{body.action} comes without annotations: let the webhook send its payload")
    tasks, done = [*_listed(body.task), *(body.tasks or [])], list[str]()
    for one in annotations:
        if body.action in _DELETED:
            done.append(await worker.labelling.deleted(name, body.project.id, one))
            continue
        about = _about(one, tasks)
        done.append(await worker.labelling.changed(name, body.project.label_config, body.project.id, one, about))
    return EventOut(status="ok", done=done)


def _listed(value: dict[str, Any] | list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _about(annotation: Mapping[str, Any], tasks: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The task of an annotation."""
    wanted = annotation.get("task")
    if isinstance(wanted, dict):  # some releases send it inside
        return wanted
    return next((one for one in tasks if one.get("id") == wanted), tasks[0] if len(tasks) == 1 else None)
