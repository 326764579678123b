"""Conversations with tasks of texts, as `innerloop support` has them on the command line."""

import functools
import io
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from innerloop.apps.text.desk import passages, replies
from innerloop.apps.text.desk.chat import EMPTY, Said, now
from innerloop.apps.text.desk.desk import Desk, State
from innerloop.apps.text.desk.opening import indexed
from innerloop.apps.text.desk.passages import Passage
from innerloop.apps.text.desk.settings import HAND_OVER, NEAR
from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.fewshot.sources import Source
from innerloop.service.http.adapted import Raw
from innerloop.service.http.apart import apart
from innerloop.service.http.cache import Cache, ticket
from innerloop.service.http.errors import HTTPError
from innerloop.service.store import conversations
from innerloop.service.store.records import Task
from innerloop.service.store.store import Store

if TYPE_CHECKING:
    from innerloop.service.http.service import Service

_DESKS = 32
"""Desks whose passages are in memory."""
_BYTES = 256e6


class Chatting:
    """What answers messages in one worker.

    Args:
        worker: Whose store, queues and sources are used.
    """

    def __init__(self, worker: "Service"):
        self._worker = worker
        # By what they say and what reads it, so that nobody need be told of a change.
        self._desks: Cache[Desk] = Cache(_DESKS, _BYTES, lambda desk: 8192 * max(1, len(desk.passages)))

    async def equip(
        self,
        store: Store,
        name: str,
        said: Sequence[Any],
        documents: Sequence[tuple[str, str | bytes]],
        answers: Sequence[tuple[str, str]],
        near: float | None,
        hand_over: Sequence[str] | None,
    ) -> None:
        """Give a task a desk, in place of the one it has; arguments as of the route.

        Raises:
            HTTPError: The task is none of texts.
            InputError: A reply or a document is wrong.
        """
        task, classes = await self._worker.threads.read(self._worker.store.described, name)
        _, source = await to_thread.run_sync(self._worker.task, name)
        if source.kind != "texts" or source.encoder is None:
            raise HTTPError(422, f"task '{name}' reads {source.kind}, and a desk reads texts: make a task of texts")
        quoted = await apart("documents", _read, documents, self._worker.limits.seconds)
        quoted += [
            Passage(text=answer, source=f"answer {number}", question=question)
            for number, (question, answer) in enumerate(answers, 1)
        ]
        entries = [(f"replies[{i}]", one) for i, one in enumerate(said)]
        await to_thread.run_sync(replies.checked, entries, list(classes))
        content = {
            "replies": list(said),
            "passages": [passage.to_json() for passage in quoted],
            "near": NEAR if near is None else near,
            "hand_over": list(HAND_OVER if hand_over is None else hand_over),
        }
        await to_thread.run_sync(_made, source, content)  # before it is kept: it may be refused
        await self._worker.threads.change(conversations.equip, store, task, content)

    async def desk(self, name: str) -> dict[str, Any] | None:
        """The desk that a task was given."""
        task = await self._worker.threads.read(self._worker.store.task, name)
        kept = await self._worker.threads.read(conversations.desk, self._worker.store, task)
        return None if kept is None else kept[1]

    async def say(self, store: Store, name: str, message: str, conversation: str | None) -> dict[str, Any]:
        """What is said to a message, with the conversation, the version, and what `feedback` calls the message.

        Raises:
            HTTPError: The task is none of texts, or would answer everything.
            MissingError: There is no such conversation.
        """
        worker = self._worker
        task, source = await to_thread.run_sync(worker.task, name)
        if source.kind != "texts" or source.encoder is None:
            raise HTTPError(422, f"task '{name}' reads {source.kind}, and a desk reads texts: ask `predict`")
        if task.reject is None and task.coverage is None:
            raise HTTPError(
                409,
                f"task '{name}' would take every message for one of its intents: say by `strangers` or `coverage` when "
                "a message is none of them (PATCH /api/tasks/...)",
            )
        desk = await to_thread.run_sync(self._desk, task, source)
        told, respond = None, lambda state: (state, EMPTY)
        if message.strip():
            raw = [Raw(kind="texts", value=message, name="message")]
            task, adapted, results = await worker.answered(name, raw)
            (told,), ((row, answer),) = worker.noted(task, adapted, raw, results), results
            # Before the store is held for the state of the conversation.
            heard = await to_thread.run_sync(desk.hear, message, answer, from_numpy(row))
            respond = functools.partial(desk.respond, heard=heard)

        def work(state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
            after, turn = respond(State(**state))
            return after.to_json(), Said(time=now(), message=message, turn=turn).to_json()

        called = ticket() if conversation is None else conversation
        begins = conversation is None
        talk = await worker.threads.change(conversations.say, store, task, called, begins, now(), work)
        return {"conversation": talk.conversation, "version": task.version, "id": told} | talk.said

    async def forget(self, store: Store, name: str, conversation: str, forever: bool) -> None:
        """Delete a conversation; forever: overwrite its bytes, and those of what feedback refers to.

        Raises:
            MissingError: There is no such task or conversation.
        """
        worker = self._worker
        task = await worker.threads.read(worker.store.task, name)
        try:
            await worker.threads.change(conversations.forget, store, task, conversation, forever)
        finally:  # also where it was deleted before, and something held the files then
            if forever:
                # Its messages are among what was asked of the task, which nobody tells apart.
                await worker.threads.change(worker.recent.erase, task.id)
                await worker.threads.change(worker.store.database.scrub)

    def _desk(self, task: Task, source: Source) -> Desk:
        """The desk of a task; its passages are read by the encoder where they are not in memory."""
        about = (task.source, task.file, task.pin)  # one that came as a file may have an encoder of its own
        digest = conversations.desk_hash(self._worker.store, task)
        if digest is None:
            return Desk()
        if (known := self._desks.find((*about, digest))) is not None:
            return known
        kept = conversations.desk(self._worker.store, task)
        return Desk() if kept is None else self._desks.get((*about, kept[0]), lambda: _made(source, kept[1]))


def _read(documents: Sequence[tuple[str, str | bytes]], seconds: float) -> list[Passage]:
    """Passages of documents, whose PDFs, given as bytes, may take so long together."""
    found: list[Passage] = []
    until = time.monotonic() + seconds
    for name, content in documents:
        if isinstance(content, bytes):
            found += passages.of_pdf(io.BytesIO(content), name, until)
        else:
            found += passages.of_text(content, name)
    return found


def _made(source: Source, content: dict[str, Any]) -> Desk:
    entries = content["replies"]
    # What was checked when it was given stays, though the task may have lost an intent since.
    known = [one["intent"] for one in entries]
    quoted = [Passage(**one) for one in content["passages"]]
    if len(quoted) > passages.MOST:
        raise InputError(f"these are {len(quoted):,} passages, and a desk has {passages.MOST:,} at most")
    return Desk(
        replies=replies.checked([(f"replies[{i}]", one) for i, one in enumerate(entries)], known, kept=True),
        passages=quoted,
        index=indexed(source, quoted) if quoted else None,
        near=content["near"],
        hand_over=tuple(content["hand_over"]),
    )
