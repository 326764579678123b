"""`/api/tasks/{name}/chat`: conversations with a task of texts; `/desk`: what is said in them."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from innerloop.service.http import values
from innerloop.service.http.access import KEY
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.routes import REFUSALS, Asked, Forever, Name, Worker
from innerloop.service.store import conversations as kept

router = APIRouter(prefix="/api", responses=REFUSALS, tags=["support desk"])
_STRICT = ConfigDict(extra="forbid", strict=True)
_REPLY = {"intent": "order status", "reply": ["Order {order} is on its way."]}
_REPLY |= {"slots": {"order": {"pattern": "\\d{5}", "ask": "Which number does it have?"}}}


class Document(BaseModel):
    """A document whose passages are quoted."""

    model_config = _STRICT
    name: str = Field(min_length=1, max_length=200, description=".md, .txt, .html or .pdf.", examples=["faq.md"])
    text: str | None = Field(None, max_length=1_000_000)
    pdf: str | None = Field(None, description="In place of text: a PDF file in base64.")

    @model_validator(mode="after")
    def _one(self) -> "Document":
        if (self.text is None) == (self.pdf is None):
            raise ValueError("a document has text, or a pdf in base64: give one of them")
        return self

    def content(self) -> str | bytes:
        """Its text, or the bytes of its PDF.

        Raises:
            HTTPError: They are not base64.
        """
        return self.text if self.text is not None else values.decoded(self.pdf or "", self.name)


class GivenIn(BaseModel):
    """An answer that was given before."""

    model_config = _STRICT
    question: str = Field(min_length=1, max_length=1_200)
    answer: str = Field(min_length=1, max_length=1_200)


class DeskIn(BaseModel):
    """What is said beside naming intents; it takes the place of what there was."""

    model_config = _STRICT
    replies: list[dict[str, Any]] = Field([], max_length=1_000, description="As of `--replies`.", examples=[[_REPLY]])
    documents: list[Document] = Field([], max_length=1_000)
    answers: list[GivenIn] = Field([], max_length=10_000)
    near: float | None = Field(None, ge=0, le=2, description="Similarity from which a passage is quoted.")
    hand_over: list[str] | None = Field(None, min_length=1, max_length=20, description="In one language or more.")


class DeskOut(BaseModel):
    """What a desk says."""

    replies: list[dict[str, Any]]
    passages: int
    near: float | None
    hand_over: list[str]


class MessageIn(BaseModel):
    """A message."""

    model_config = _STRICT
    message: str
    conversation: str | None = Field(None, max_length=100, description="It goes on; without it a new one begins.")


class TurnOut(BaseModel):
    """A message, what is said to it, and why."""

    time: str
    message: str
    kind: str = Field(description="reply, question, passage or hand-over.", examples=["reply"])
    text: str
    intent: str | None
    probability: float | None
    slot: str | None
    source: str | None
    similarity: float | None
    rule: str | None = Field(None, description="Words of the message that decided for the intent.")


class SaidOut(TurnOut):
    """The same in a conversation."""

    conversation: str
    version: int
    id: str | None = Field(description="What `feedback` calls the message; null where it holds no word.")


class ConversationOut(BaseModel):
    """A conversation in a list."""

    conversation: str
    began: str
    messages: int
    last: TurnOut | None


@router.post("/tasks/{name}/chat")
async def chat(name: Name, body: Annotated[MessageIn, Body()], worker: Worker, store: Asked) -> SaidOut:
    """What is said to a message: a reply, a question back, a quoted passage, or that a person takes over."""
    if len(body.message) > worker.limits.text:
        raise HTTPError(
            422, f"the message has {len(body.message):,} characters, and {worker.limits.text:,} are read: shorten it"
        )
    return SaidOut(**await worker.chatting.say(store, name, body.message, body.conversation))


@router.post("/tasks/{name}/desk")
async def give_desk(name: Name, body: DeskIn, worker: Worker, store: Asked) -> DeskOut:
    """Give a task its replies and documents, in place of those it has."""
    await worker.chatting.equip(
        store,
        name,
        body.replies,
        [(one.name, one.content()) for one in body.documents],
        [(one.question, one.answer) for one in body.answers],
        body.near,
        body.hand_over,
    )
    return await desk(name, worker)


@router.get("/tasks/{name}/desk")
async def desk(name: Name, worker: Worker) -> DeskOut:
    """What is said in conversations with a task."""
    content = await worker.chatting.desk(name)
    if content is None:
        return DeskOut(replies=[], passages=0, near=None, hand_over=[])
    known = {key: content[key] for key in ("replies", "near", "hand_over")}
    return DeskOut(passages=len(content["passages"]), **known)


@router.get("/tasks/{name}/conversations")
async def conversations(
    name: Name,
    request: Request,
    worker: Worker,
    limit: Annotated[int, Query(ge=1, le=1_000, description="How many at most.")] = 100,
) -> list[ConversationOut]:
    """Conversations with a task, the newest first; not for keys that only look, which customers may have."""
    key = request.scope.get(KEY)
    if key is not None and key.scope != "write":
        raise HTTPError(403, "this API key may chat, and not read what others said: that needs one of scope write")
    task = await worker.threads.read(worker.store.task, name)
    return [ConversationOut(**one) for one in await worker.threads.read(kept.conversations, worker.store, task, limit)]


@router.get("/tasks/{name}/conversations/{conversation}")
async def transcript(name: Name, conversation: str, worker: Worker) -> list[TurnOut]:
    """Every message of a conversation, with what was said to it."""
    task = await worker.threads.read(worker.store.task, name)
    return [TurnOut(**one) for one in await worker.threads.read(kept.transcript, worker.store, task, conversation)]


@router.delete("/tasks/{name}/conversations/{conversation}", status_code=204)
async def forget(name: Name, conversation: str, worker: Worker, store: Asked, forever: Forever = False) -> None:
    """Delete a conversation."""
    await worker.chatting.forget(store, name, conversation, forever)
