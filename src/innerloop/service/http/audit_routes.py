"""`/api/audit`: who changed what, for keys that may change everything."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from innerloop.service.http.access import KEY
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.routes import REFUSALS, Worker
from innerloop.service.store import audit

_FILE = {"content-disposition": 'attachment; filename="audit.jsonl"'}


async def administrator(request: Request) -> None:
    """Refuse a key that only looks; `access.permitted` refuses those of some tasks alone.

    Raises:
        HTTPError: It is one (403).
    """
    key = request.scope.get(KEY)
    if key is not None and key.scope != "write":
        raise HTTPError(403, "this API key may only look, and not read who changed what: that needs one of scope write")


router = APIRouter(prefix="/api/audit", responses=REFUSALS, tags=["service"], dependencies=[Depends(administrator)])


class EntryOut(BaseModel):
    """A change that was made; neither text nor label of anybody is in it."""

    id: int
    time: str = Field(description="In UTC.")
    key: int | None = Field(description="Number of the API key; null: a command's, or no key was demanded.")
    name: str = Field(description="What that key is for.")
    verb: str
    kind: str
    of: str = Field(description="Of the task or tagger, of the recommender whose person it is, or number of the key.")
    before: int | None = Field(description="Version, or limit; null: it was not there, or has none.")
    after: int | None
    request: str | None = Field(description="X-Request-ID of the request.")


class Wanted:
    """Which changes are asked for, as `innerloop serve audit` takes it."""

    def __init__(
        self,
        since: Annotated[str | None, Query(max_length=100, description="The first moment.")] = None,
        task: Annotated[str | None, Query(max_length=256, description="Name of a task, tagger, recommender.")] = None,
        key: Annotated[str | None, Query(max_length=64, description="Name or number of an API key.")] = None,
    ):
        self.since: datetime | None = None if since is None else audit.moment(since)
        self.task, self.key = task, key


@router.get("")
async def list_changes(
    worker: Worker,
    wanted: Annotated[Wanted, Depends()],
    limit: Annotated[int, Query(ge=1, le=2_000)] = 100,
    after: Annotated[int, Query(ge=0, lt=2**63, description="The id of the last one of the page before.")] = 0,
) -> list[EntryOut]:
    """Who changed what, oldest first. For keys of scope write that are not limited to some tasks."""
    asked = (worker.store.database, wanted.since, wanted.task, wanted.key, after, limit)
    return [EntryOut(**entry._asdict()) for entry in await worker.threads.read(audit.page, *asked)]


@router.get(
    "/lines",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
async def export_changes(worker: Worker, wanted: Annotated[Wanted, Depends()]) -> StreamingResponse:
    """All of it as a file, an object a line, the same as `innerloop serve audit --out` writes."""

    def parts() -> Iterator[str]:
        for page in audit.pages(worker.store.database, wanted.since, wanted.task, wanted.key):
            yield "".join(map(audit.line, page))

    # Read as it is sent, so that a long one is never in memory as a whole.
    return StreamingResponse(parts(), media_type="application/x-ndjson", headers=_FILE)
