"""`/api/tasks/{name}/watch`: a stream of texts that a task labels, or two on the same texts."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from innerloop.apps.text.watch.charts import KINDS, Kind
from innerloop.apps.text.watch.events import LONGEST_LINE
from innerloop.apps.text.watch.lines import LINES
from innerloop.apps.text.watch.settings import Settings
from innerloop.service.http.access import KEY, Access, Reach
from innerloop.service.http.counting import Counter
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.named import TaskName
from innerloop.service.http.routes import REFUSALS, Name, Worker
from innerloop.service.limits import Limits

router = APIRouter(prefix="/api", responses=REFUSALS, tags=["watch"])
_LINE = '{"text": "my parcel is late", "time": "2026-11-28T10:00:00Z", "id": "17", "source": "mail"}'
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/x-ndjson": {"schema": {"type": "string"}, "example": _LINE}},
    }
}
_USUAL = Settings()
_LARGE = 1 << 16
"""Bytes of a line that take a few milliseconds to parse, whatever they are."""


class WatchIn(BaseModel):
    """How a stream is watched; the words are those of `innerloop watch`."""

    model_config = ConfigDict(extra="forbid", strict=True)
    other: TaskName | None = Field(None, description="A second task, such as one of moods.")
    window: str = Field(_USUAL.window, max_length=20, description="Length of a window.", examples=["15m"])
    late: str = Field(_USUAL.late, max_length=20, description="How late an event may come.")
    jump: str = Field(_USUAL.jump, max_length=20, description="A time further from the stream's is not believed.")
    remember: str = Field(_USUAL.remember, max_length=20, description="How long ids are remembered.")
    warmup: int = Field(_USUAL.warmup, le=10_000, description="Windows that usual shares are learned from.")
    run_length: float = Field(_USUAL.run_length, description="Windows until an alert for nothing, on average.")
    surge: float = Field(_USUAL.surge, description="Times by which the odds of a label go up in a surge.")
    charts: list[Kind] = Field(list(KINDS), max_length=2)


class TakenOut(BaseModel):
    """What came of events."""

    came: dict[str, int] = Field(description="Lines, events that were counted, and what was passed over, by kind.")
    alerts: list[dict[str, Any]] = Field(description="New ones; at most the last 100.")
    closed: int
    open: int
    notices: list[str]


class WatchOut(BaseModel):
    """How a watch stands."""

    model_config = ConfigDict(extra="allow")
    tasks: list[dict[str, Any]]
    settings: dict[str, Any]
    standings: list[dict[str, Any]] = Field(description="Share, usual share, trend and charts of each label and pair.")
    tally: dict[str, int]
    clock: str | None
    warming: int
    notes: list[str]
    curves: list[dict[str, Any]] = Field(description="Windows of what is nearest to an alert.")
    last_alerts: list[dict[str, Any]] = Field(description="The newest first.")


@router.post("/tasks/{name}/watch")
async def begin(name: Name, body: WatchIn, worker: Worker, reach: Reach) -> WatchOut | None:
    """Begin a watch, in place of the one that the task has; what is usual is learned from the first windows."""
    if body.other is not None:
        reach.check(body.other)
    given: dict[str, Any] = body.model_dump(exclude={"other"}) | {"charts": tuple(body.charts)}
    await worker.watching.begin(name, body.other, Settings(**given))
    return await _stands(name, worker, reach)


@router.post("/tasks/{name}/watch/events", openapi_extra=_BODY)
async def events(
    name: Name,
    request: Request,
    worker: Worker,
    reach: Reach,
    finish: Annotated[bool, Query(description="Close all windows then, as if nothing came any more.")] = False,
) -> TakenOut:
    """Take events, a JSON object a line; one that comes again by its id is counted once."""
    content = (await request.body()).rstrip(b"\n")
    # Before they are split: a body of nothing but ends of lines would be millions of them.
    if (count := content.count(b"\n") + 1) > LINES:
        raise HTTPError(413, f"these are {count:,} lines, and {LINES:,} are taken at once: send them in parts")
    lines = await worker.threads.read(_split, content, worker.limits)
    return TakenOut(**await worker.watching.take(name, lines, finish, reach))


@router.get("/tasks/{name}/watch")
async def watch(name: Name, request: Request, worker: Worker, reach: Reach) -> WatchOut | None:
    """How a watch stands; null where there is none. Not for keys that only look: it quotes what people wrote."""
    key = request.scope.get(KEY)
    if key is not None and key.scope != "write":
        raise HTTPError(403, "this API key may only look, and a watch quotes what people wrote: that needs scope write")
    return await _stands(name, worker, reach)


@router.delete("/tasks/{name}/watch", status_code=204)
async def end(name: Name, worker: Worker) -> None:
    """Forget a watch, with its windows, alerts and sentences."""
    await worker.watching.end(name)


def _split(content: bytes, limits: Limits) -> list[bytes]:
    """Lines, of which none is longer to parse than another body may be."""
    lines = content.split(b"\n")
    for line in lines:
        if _LARGE < len(line) <= LONGEST_LINE:  # what is longer is passed over
            Counter(limits).feed(line)
    return lines


async def _stands(name: str, worker: Worker, reach: Access) -> WatchOut | None:
    found = await worker.watching.stands(name, reach)
    return None if found is None else WatchOut(**found)
