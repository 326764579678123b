"""What some learners can do with a task besides answering: make further examples of its classes."""

from typing import Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from innerloop.core.learner import Generative
from innerloop.fewshot.generated_files import sheet
from innerloop.fewshot.generation import of_task
from innerloop.fewshot.wish import Wish
from innerloop.service.http.apart import apart
from innerloop.service.http.routes import REFUSALS, Name, Worker
from innerloop.tasks.contact_sheet import is_picture

router = APIRouter(prefix="/api", responses=REFUSALS)
_MOST = 64
"""Examples of each class in one answer: a sheet is looked at, and many are made by `innerloop generate`."""


class AbilitiesOut(BaseModel):
    """What a task's learner can do besides answering."""

    generate: bool = Field(description="Further pictures of its classes, at `generated`.")
    mutual_information: bool = Field(description="Suggestions by it: the learner has members that may disagree.")


@router.get("/tasks/{name}/abilities", tags=["tasks"])
async def abilities(name: Name, worker: Worker) -> AbilitiesOut:
    """What the task's learner can do besides answering."""
    _, source = await to_thread.run_sync(worker.task, name)
    pictures = source.shape is not None and is_picture(source.shape)
    return AbilitiesOut(
        generate=pictures and isinstance(source.learner, Generative), mutual_information=source.learner.probabilistic
    )


@router.get(
    "/tasks/{name}/generated",
    tags=["tasks"],
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
async def generated(
    name: Name,
    worker: Worker,
    count: Annotated[int, Query(ge=1, le=_MOST, description="Of each class.")] = 16,
    seed: Annotated[int, Query(ge=-(2**63), lt=2**63, description="Others give other examples.")] = 0,
    temperature: Annotated[
        float | None, Query(ge=0, allow_inf_nan=False, description="How far they stray from what is usual.")
    ] = None,
    mean: Annotated[bool, Query(description="Leave what is known of a class at its mean.")] = False,
    ink: Annotated[Literal["crisp", "cut", "soft"] | None, Query(description="As of `innerloop generate`.")] = None,
) -> Response:
    """A sheet of further examples of the task's classes, a row each: those that were taught, a rule, and new ones."""
    adapted = await worker.adapted(name)
    wish = Wish(count=count, seed=seed, temperature=temperature, mean=mean, ink=ink)
    return Response(await apart("generate", lambda: sheet(of_task(adapted.task, wish))), media_type="image/png")
