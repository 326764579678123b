"""`/api/tasks/{name}/classes`: further classes of a task, by their names."""

from anyio import to_thread
from fastapi import APIRouter

from innerloop.fewshot import class_names
from innerloop.service.http import payload
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.routes import REFUSALS, Asked, Expected, Name, Worker
from innerloop.service.http.schemas import ClassesIn, VersionOut
from innerloop.service.store.naming import declare

router = APIRouter(prefix="/api", responses=REFUSALS)


@router.post("/tasks/{name}/classes", status_code=201, tags=["examples"])
async def name_classes(name: Name, body: ClassesIn, worker: Worker, seen: Expected, store: Asked) -> VersionOut:
    """Tell an encoder of texts further classes by their names, before there is an example of them."""
    classes = class_names.declared(
        [payload.label(one, worker.limits, f"classes[{i}]") for i, one in enumerate(body.classes)]
    )
    task = await worker.threads.read(store.task, name)
    if task.names in (None, "off"):
        raise HTTPError(422, f"task '{name}' does not learn from names of classes: give examples of each")
    shape = task.shape or (await to_thread.run_sync(worker.sources.find, task.source)).shape
    if shape is None:
        raise HTTPError(422, f"task '{name}' knows no rows yet: give examples first")
    change = await worker.threads.change(declare, store, name, classes, shape, seen)
    return VersionOut(version=change.version)
