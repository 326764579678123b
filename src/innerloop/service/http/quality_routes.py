"""How good a task is, and which examples would make it better."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from innerloop.core.rules import By
from innerloop.evaluate.by_shots import check_shots
from innerloop.service.http import payload
from innerloop.service.http.routes import FILES, REFUSALS, Name, Worker, body_of
from innerloop.service.http.schemas import EvaluationOut, PredictBody, SuggestionsOut
from innerloop.service.http.shots_schemas import ShotsOut

router = APIRouter(prefix="/api", responses=REFUSALS)


@router.get("/tasks/{name}/evaluation", tags=["tasks"])
async def evaluate_task(name: Name, worker: Worker) -> EvaluationOut:
    """How good the task is, by cross-validation on its own examples; computed when a version is first asked about."""
    return EvaluationOut(**await worker.evaluation(name))


@router.get("/tasks/{name}/shots", tags=["tasks"])
async def evaluate_shots(
    name: Name,
    worker: Worker,
    shots: Annotated[
        list[Annotated[int, Field(ge=1, le=1_000)]],
        Query(min_length=1, max_length=10, description="Examples of each class; given once for each number."),
    ],
) -> ShotsOut:
    """How good the task is with so many of its examples of each class, and what ten more would bring."""
    asked = check_shots(shots)
    task, adapted = await worker.learned(name)
    result = await worker.evaluations.by_shots(task, adapted, asked)
    return ShotsOut(task=task.name, version=task.version, **result)


@router.post(
    "/tasks/{name}/suggestions",
    tags=["predictions"],
    response_model=SuggestionsOut,
    openapi_extra=body_of(PredictBody, {"files": FILES}),
)
async def suggest(
    name: Name,
    request: Request,
    worker: Worker,
    n: Annotated[int, Query(ge=1, le=1_000, description="How many.")] = 10,
    by: Annotated[By, Query(description="What is called uncertain; the last for learners of several members.")] = (
        "margin"
    ),
) -> Response:
    """Which of many examples to label next: uncertain ones, unlike what was taught, and like many others.

    What was taught already, and what is the same as an example before it, is left out. `feedback` takes their ids.
    """
    given = await payload.questions(request, worker.limits)
    version, suggestions, notices = await worker.suggest(name, given.raw, n, by)
    given.notices.extend(notices)
    return JSONResponse({"version": version, "suggestions": given.named(suggestions)} | given.noticed)
