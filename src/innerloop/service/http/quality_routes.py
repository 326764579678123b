"""How good a task is, and which examples would make it better."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from innerloop.core.rules import By
from innerloop.service.http import payload
from innerloop.service.http.routes import FILES, REFUSALS, Name, Worker, body_of
from innerloop.service.http.schemas import EvaluationOut, PredictBody, SuggestionsOut

router = APIRouter(prefix="/api", responses=REFUSALS)


@router.get("/tasks/{name}/evaluation", tags=["tasks"])
async def evaluate_task(name: Name, worker: Worker) -> EvaluationOut:
    """How good the task is, by cross-validation on its own examples; computed when a version is first asked about."""
    return EvaluationOut(**await worker.evaluation(name))


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
