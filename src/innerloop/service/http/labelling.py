"""Label Studio's side of a task or a tagger: its tasks are predicted and scored, its annotations learned, each once."""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from anyio import to_thread

from innerloop.service import addresses
from innerloop.service.http import label_config, label_results, payload, values
from innerloop.service.http.adapted import Raw
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.label_config import Control
from innerloop.service.store import annotations, taggers
from innerloop.service.store.annotations import GONE, Learned, said
from innerloop.service.store.answers import Once
from innerloop.service.store.errors import MissingError
from innerloop.service.store.store import Store

if TYPE_CHECKING:
    from innerloop.service.http.service import Service

TOKEN = "LABEL_STUDIO_API_KEY"
"""Variable with the token that files of Label Studio are fetched with."""
_CLIENT = "label-studio"
_KNOWN, _KEPT = "nothing: it is known", "nothing: a tagger keeps what it was taught"
_SECONDS = 10.0
_FETCHED_MB = 256.0
"""Files that are in memory at the same time: a task names them in a few bytes, so no body bounds them."""


class _Asked(NamedTuple):
    """What answers: a task, or a tagger."""

    of: str
    """By an id that is never given twice."""
    kind: str
    version: int
    tagger: bool


class Labelling:
    """What answers Label Studio in one worker.

    Args:
        worker: Whose store, queues and tasks are used.

    Raises:
        InputError: The address of Label Studio is none.
    """

    def __init__(self, worker: "Service"):
        self._worker = worker
        addresses.check_home(worker.settings.label_studio)
        self._held = 0
        self._turn = asyncio.Lock()
        """One annotation at a time: of two that come at once, the second finds what the first one taught."""

    async def setup(self, name: str, config: str) -> str:
        """The version, once the configuration of a project fits.

        Raises:
            HTTPError: It does not.
        """
        asked = await self._asked(name)
        self._control(asked, config)
        return str(asked.version)

    async def predict(
        self, name: str, config: str, tasks: Sequence[Mapping[str, Any]]
    ) -> tuple[str, list[dict[str, Any]]]:
        """The version, and a prediction for each task of a project, whose score is lowest where a label tells most."""
        asked = await self._asked(name)
        control = self._control(asked, config)
        values.count(len(tasks), self._worker.limits)
        with self._room() as room:
            place = f"data.{control.value}"
            raw = [await self._raw(one, control, f"tasks[{i}].{place}", room) for i, one in enumerate(tasks)]
            if asked.tagger:
                version, found = await self._worker.tagging.tag(name, [one.value for one in raw])
                return str(version), [label_results.spans(one["entities"], control) for one in found]
            task, adapted, results = await self._worker.answered(name, raw)
        ids = self._worker.noted(task, adapted, raw, results)
        margins = [label_results.margin(answer.probabilities) for _, answer in results]
        chosen = await to_thread.run_sync(lambda: adapted.most_telling(results, len(raw), "margin"))
        # Margins can be compared from request to request; within one they are dealt out as `suggest` orders.
        rest = sorted(set(range(len(raw))) - set(chosen.places), key=margins.__getitem__)
        scores = dict(zip([*chosen.places, *rest], sorted(margins), strict=True))
        predictions = [
            {"result": label_results.choice(id, answer.label, answer.probabilities, control), "score": scores[i]}
            for i, (id, (_, answer)) in enumerate(zip(ids, results, strict=True))
        ]
        return str(task.version), predictions

    async def changed(
        self, name: str, config: str, project: int, annotation: Mapping[str, Any], task: Mapping[str, Any] | None
    ) -> str:
        """Learn from an annotation that was made or changed; says what was done.

        Args:
            name: Of the task or tagger.
            config: Of the project.
            project: Its id.
            annotation: As Label Studio sends it.
            task: What it is about.

        Raises:
            HTTPError: It cannot be read.
        """
        asked = await self._asked(name)
        control = self._control(asked, config)
        id, time = label_results.id_of(annotation), label_results.time_of(annotation)
        async with self._turn:
            known = await self._find(asked, project, id)
            if known is not None and known.time >= time:
                return "nothing: a later state of it is known" if known.time > time else _KNOWN
            label = None if annotation.get("was_cancelled") else label_results.label_of(annotation, control)
            if label is None:
                return await self._forget(name, asked, project, id, time)
            if not asked.tagger:
                label = payload.label(label, self._worker.limits)
            if known is not None and known.label and (asked.tagger or known.label == said(label)):
                await self._put(asked, project, id, Learned(example=known.example, label=said(label), time=time))
                return _KNOWN if known.label == said(label) else _KEPT
            if known is not None and known.example is not None:
                done = await self._relabel(name, known.example, label, f"{asked.of}.{project}.{id}.{time}")
                example = known.example if done else None
            else:
                if task is None:
                    raise HTTPError(422, f"annotation {id} comes without its task: let the webhook send its payload")
                example = await self._learn(name, asked, control, project, annotation, task, label, fresh=known is None)
            await self._put(asked, project, id, Learned(example=example, label=said(label), time=time))
            return "learned"

    async def deleted(self, name: str, project: int, annotation: Mapping[str, Any]) -> str:
        """Take back what an annotation taught; says what was done. Arguments as of `changed`."""
        asked = await self._asked(name)
        async with self._turn:
            return await self._forget(name, asked, project, label_results.id_of(annotation), GONE)

    async def _learn(
        self,
        name: str,
        asked: _Asked,
        control: Control,
        project: int,
        annotation: Mapping[str, Any],
        task: Mapping[str, Any],
        label: str,
        fresh: bool,
    ) -> int | None:
        """Teach it; its example, None where a tagger has none."""
        id = label_results.id_of(annotation)
        with self._room() as room:
            raw = await self._raw(task, control, f"task.data.{control.value}", room)
        # Without its time: whatever state of it came first is learned once, also where its answer was lost.
        key = f"{asked.of}.{project}.{id}"
        store = self._once(key if fresh else f"{key}.{label_results.time_of(annotation)}")
        if asked.tagger:
            sentence = {"text": raw.value, "entities": label_results.entities_of(annotation, control, raw.value)}
            await self._worker.tagging.teach(store, name, [sentence], None)
            return None
        before = await self._worker.threads.read(store.known)
        if before is None and (prediction := label_results.prediction_of(annotation, control)) is not None:
            with contextlib.suppress(HTTPError):  # no longer remembered: the example itself is here
                done = await self._worker.teaching.feedback(store, name, prediction, label, None)
                return done.ids[0]
        about = [raw._replace(label=label)]
        done = await self._worker.teaching.teach(store, name, about, None, f"feedback: 1 to {label}")
        if before is not None:  # by a worker that did not come to write it down, perhaps as another class
            await self._relabel(name, done.ids[0], label, f"{key}.{label_results.time_of(annotation)}")
        return done.ids[0]

    async def _forget(self, name: str, asked: _Asked, project: int, id: int, time: str) -> str:
        known = await self._find(asked, project, id)
        if known is not None and known.time >= time:
            return _KNOWN
        gone = known is not None and known.example is not None
        if known is not None and known.example is not None:
            store = self._once(f"{asked.of}.{project}.{id}.{time}")
            with contextlib.suppress(MissingError):  # somebody took it out here
                await self._worker.threads.change(store.remove, name, known.example, None)
        await self._put(asked, project, id, Learned(example=None, label=b"", time=time))
        if asked.tagger and known is not None and known.label:
            return _KEPT
        return "taken back" if gone else "nothing: it was not learned"

    async def _relabel(self, name: str, example: int, label: str, key: str) -> bool:
        """Give an example another class; whether it is there."""
        try:
            await self._worker.threads.change(self._once(key).relabel, name, example, label, None)
        except MissingError:  # somebody took it out here
            return False
        return True

    async def _asked(self, name: str) -> _Asked:
        try:
            task = await self._worker.threads.read(self._worker.store.task, name)
        except MissingError:
            with contextlib.suppress(MissingError):
                kept = await self._worker.threads.read(taggers.find, self._worker.store, name)
                return _Asked(f"tagger {kept.id}", "texts", kept.version, True)
            raise
        return _Asked(f"task {task.id}", task.kind, task.version, False)

    def _control(self, asked: _Asked, config: str) -> Control:
        return label_config.control(config, "taggers" if asked.tagger else "tasks", asked.kind)

    def _once(self, key: str) -> Store:
        return self._worker.store.asked(Once(client=_CLIENT, key=key, digest=key.encode()))

    async def _find(self, asked: _Asked, project: int, id: int) -> Learned | None:
        return await self._worker.threads.read(annotations.find, self._worker.store, asked.of, project, id)

    async def _put(self, asked: _Asked, project: int, id: int, learned: Learned) -> None:
        await self._worker.threads.change(annotations.put, self._worker.store, asked.of, project, id, learned)

    @contextlib.contextmanager
    def _room(self) -> Iterator[list[int]]:
        """Bytes that a request fetches, which are counted until it is answered."""
        fetched = list[int]()
        try:
            yield fetched
        finally:
            self._held -= sum(fetched)

    async def _raw(self, task: Mapping[str, Any], control: Control, name: str, room: list[int]) -> Raw:
        """The example of a task."""
        data = task.get("data")
        value = data.get(control.value) if isinstance(data, Mapping) else None
        if not isinstance(value, str):
            raise HTTPError(422, f"{name} is no text, which its tag '{control.about}' shows")
        if control.kind == "texts":
            return values.text(value, name, self._worker.limits)
        if value.startswith("data:"):
            return Raw(control.kind, values.decoded(value, name), name)
        return Raw(control.kind, await self._fetched(value, name, room), name)

    async def _fetched(self, address: str, name: str, room: list[int]) -> bytes:
        """A file of Label Studio, and of nobody else: addresses come from whoever may ask."""
        home = self._worker.settings.label_studio
        if home is None:
            raise HTTPError(422, f"{name} is an address: start the service with --label-studio and its address")
        whole = ""
        with contextlib.suppress(ValueError):  # half of an IPv6 address, say
            whole = urljoin(f"{home.rstrip('/')}/", address)
        if urlsplit(whole)[:2] != urlsplit(home)[:2]:
            raise HTTPError(422, f"{name} lies outside of {home}, and nothing is fetched from elsewhere")
        import httpx

        headers = {"Authorization": f"Token {os.environ[TOKEN]}"} if os.environ.get(TOKEN) else {}
        most, content = self._worker.limits.body_mb * 1e6, bytearray()
        try:
            async with (
                httpx.AsyncClient(timeout=_SECONDS, trust_env=False) as client,
                client.stream("GET", whole, headers=headers) as answer,
            ):
                if answer.status_code != 200:
                    raise HTTPError(422, f"{name}: Label Studio answered {answer.status_code}; is {TOKEN} its token?")
                async for piece in answer.aiter_bytes():
                    content += piece
                    room.append(len(piece))
                    self._held += len(piece)
                    if sum(room) > _FETCHED_MB * 1e6:
                        raise HTTPError(
                            413, f"the files of these tasks have more than {_FETCHED_MB:g} MB: send fewer at a time"
                        )
                    if self._held > _FETCHED_MB * 1e6:
                        raise HTTPError(503, "too many files are fetched at the same time: try again", retry=2)
                    if len(content) > most:
                        raise HTTPError(413, f"{name} has more than {self._worker.limits.body_mb:g} MB")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise HTTPError(503, f"{name} cannot be fetched from Label Studio ({type(error).__name__})", 5) from error
        return bytes(content)
