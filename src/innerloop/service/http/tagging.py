"""Taggers of the service: what a request asks of one, done as Python and the command line do it."""

import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import CapacityLimiter, to_thread

from innerloop.apps.ner import file
from innerloop.apps.ner.answering import Tagged, answers
from innerloop.apps.ner.examples import tagged, untagged
from innerloop.apps.ner.settings import ENCODER, SOURCE, shipped
from innerloop.apps.ner.sources import source as start
from innerloop.apps.ner.tagger import FewShotTagger
from innerloop.apps.ner.task import Task
from innerloop.core.errors import InputError
from innerloop.core.threads import on_one_core
from innerloop.encoders import tokens
from innerloop.encoders.tokens import TokenEncoder
from innerloop.service import task_names
from innerloop.service.http.adapted import Raw
from innerloop.service.http.cache import Cache
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.offers import is_file, is_source
from innerloop.service.http.payload import label
from innerloop.service.settings import Settings
from innerloop.service.store import taggers
from innerloop.service.store.erase import erase_tagger
from innerloop.service.store.errors import StaleError
from innerloop.service.store.records import Change
from innerloop.service.store.store import Store
from innerloop.service.store.taggers import Content, Kept
from innerloop.tasks.entities import files, json_spans
from innerloop.tasks.entities.sentences import Sentence
from innerloop.tasks.entities.words import offsets

if TYPE_CHECKING:
    from innerloop.service.http.service import Service

T = TypeVar("T")
_TRIES = 5
"""How often a change is made anew because another came first."""
_FULL_LENGTH = 10
"""Texts of the full length that one request may hold: unlike sentence encoders, taggers read each to its end."""


class Tagging:
    """What answers and teaches taggers in one worker.

    Args:
        worker: Whose store and queues are used.
    """

    def __init__(self, worker: "Service"):
        self._worker = worker
        limits = worker.limits
        # By what its file holds, so that nobody need be told of a change.
        self._tasks: Cache[Task] = Cache(limits.adapted, limits.adapted_mb * 1e6, lambda task: task.rows.nbytes + 4096)
        self._learning = CapacityLimiter(1)
        """One change reads its words at a time; what is asked goes on meanwhile."""
        self.sources = _offered(worker.settings)

    async def listed(self) -> list[Kept]:
        """All of them by name."""
        return await self._worker.threads.read(taggers.listed, self._worker.store)

    async def find(self, name: str) -> Kept:
        """One of them."""
        return await self._worker.threads.read(taggers.find, self._worker.store, name)

    async def tag(self, name: str, texts: Sequence[str]) -> tuple[int, list[dict[str, Any]]]:
        """The version, and what it finds in each text.

        Raises:
            HTTPError: A text is too long, or there are too many.
        """
        self._refuse_many(texts)
        raw = [self._text(text, f"texts[{i}]") for i, text in enumerate(texts)]
        kept, task = await self._now(name)
        asked = [(one.value, task) for one in raw]
        tagged = await self._worker.together(("tag", task.source.encoder.name), raw, asked, _tagged)
        return kept.version, [one.to_json() for one in tagged]

    def cut(self, texts: Sequence[str]) -> list[tuple[str, tuple[tuple[int, int], ...]]]:
        """Texts, and where the words of each are.

        Raises:
            HTTPError: A text is too long, or there are too many.
        """
        self._refuse_many(texts)
        whole = [self._text(text, f"texts[{i}]").value for i, text in enumerate(texts)]
        return [(text, offsets(text)) for text in whole]

    async def create(self, store: Store, name: str, source: str, sentences: Sequence[dict[str, Any]]) -> Kept:
        """A new one, of tagged texts."""
        if store.known() is None:
            taught = self._sentences(sentences)
            await self._made(store, name, lambda: self._taught(source, taught))
        return await self.find(name)

    async def take(
        self, store: Store, name: str, source: str | None, called: str, content: bytes
    ) -> tuple[Kept, list[str]]:
        """A new one of a file, tagged sentences or what `innerloop ner adapt` wrote, and what was noticed in it.

        Raises:
            InputError: It can be read as neither.
            HTTPError: A source is asked for, and the file brings its own.
        """
        notices = list[str]()
        if is_file(called) and source is not None:
            raise HTTPError(422, f"{called} brings its own source: leave out the source '{source[:100]}'")
        if store.known() is None:
            if is_file(called):
                await self._made(store, name, lambda: self._read(content, called))
            else:
                read = await self._thread(lambda: files.read_bytes(io.BytesIO(content), called, say=notices.append))
                await self._made(store, name, lambda: self._taught(source or SOURCE, read))
        return await self.find(name), notices

    def serve(self, path: str, allow: tuple[str, ...]) -> None:
        """Keep a tagger of this machine, named as its file; one that was kept before is what it has become since.

        Raises:
            InputError: It cannot be read.
        """
        place = Path(path).expanduser()
        task = file.read(place, allow)
        # Whoever starts the server says by naming the file that its encoder may be used.
        self.sources |= {task.source.encoder.name: task.source.encoder.name}
        name = task_names.of_file(place.name)
        if all(one.name != name for one in taggers.listed(self._worker.store)):
            taggers.create(self._worker.store, name, _content(task))

    async def teach(self, store: Store, name: str, sentences: Sequence[dict[str, Any]], seen: int | None) -> int:
        """Teach tagged texts; returns the version that knows them."""
        taught = self._sentences(sentences)
        words = sum(len(one.words) for one in taught)

        def more(task: Task) -> Task:
            self._refuse_large(len(task.rows) + words, task.source.encoder.features)
            return task.more(taught)

        return await self._change(store, name, seen, more)

    async def drop(self, store: Store, name: str, kind: str, seen: int | None) -> int:
        """Forget a type."""
        return await self._change(store, name, seen, lambda task: task.without(kind))

    async def undo(self, store: Store, name: str, to: int | None, seen: int | None) -> int:
        """Go back a version, or to any."""
        return await self._change(store, name, seen, lambda task: task.at(task.history.back(to)))

    async def redo(self, store: Store, name: str, seen: int | None) -> int:
        """Take back the last undo."""
        return await self._change(store, name, seen, lambda task: task.at(task.history.redone()))

    async def versions(self, name: str) -> list[dict[str, Any]]:
        """All of them, oldest first."""
        _, task = await self._now(name)
        return [row | {"types": len(row["types"])} for row in task.show()["versions"]]

    async def delete(self, store: Store, name: str, forever: bool) -> None:
        """Forget one with all its versions; forever: overwrite its bytes in every file of the store, too."""
        if not forever:
            await self._worker.threads.change(taggers.delete, store, name)
            return
        try:
            gone = await self._worker.threads.change(erase_tagger, store, name)
            self._tasks.forget(lambda key, _: isinstance(key, tuple) and key[0] in gone.ids)
        finally:  # also where it was deleted before, and something held the files then
            await self._worker.threads.change(store.database.scrub)

    async def file(self, name: str) -> bytes:
        """Its `.fewshot` file."""
        return await self._worker.threads.read(taggers.file, self._worker.store, await self.find(name))

    async def _now(self, name: str) -> tuple[Kept, Task]:
        kept = await self.find(name)
        task = self._tasks.find((kept.id, kept.hash))
        return kept, task or await to_thread.run_sync(self._loaded, kept)

    def _loaded(self, kept: Kept) -> Task:
        content = taggers.file(self._worker.store, kept)
        # What a client sends may name innerloop's classes alone; what is kept may be a file of this machine.
        called, allow = f"the file of tagger '{kept.name}'", self._worker.settings.allow
        return self._tasks.get((kept.id, kept.hash), lambda: self._read(content, called, allow))

    async def _change(self, store: Store, name: str, seen: int | None, work: Callable[[Task], Task]) -> int:
        if isinstance(known := store.known(), Change):
            return known.version
        for left in reversed(range(_TRIES)):
            kept, task = await self._now(name)
            if seen is not None and seen != kept.version:
                raise StaleError(f"tagger '{name}' is at version {kept.version}, not {seen}: look at it again")
            content = await self._thread(lambda task=task: _content(work(task)))
            try:
                return (await self._worker.threads.change(taggers.replace, store, kept, content)).version
            except StaleError:
                if seen is not None or not left:
                    raise
        raise AssertionError("the last try raises")

    async def _made(self, store: Store, name: str, make: Callable[[], Task]) -> None:
        content = await self._thread(lambda: _content(make()))
        await self._worker.threads.change(taggers.create, store, name, content)

    async def _thread(self, work: Callable[[], T]) -> T:
        return await to_thread.run_sync(lambda: on_one_core(work), limiter=self._learning)

    def _taught(self, source: str, sentences: Sequence[Sentence]) -> Task:
        self._check(source)
        own = start(source)
        self._refuse_large(sum(len(one.words) for one in sentences), own.encoder.features)
        return FewShotTagger(own).fit(sentences).task

    def _read(self, content: bytes, name: str, allow: Sequence[str] = ()) -> Task:
        with _placed(content) as path:
            try:
                return file.read(path, allow, self._encoder)
            except InputError as error:
                raise InputError(str(error).replace(str(path), name)) from error

    def _encoder(self, name: str) -> TokenEncoder:
        self._check(name)
        return tokens.named(name)

    def _check(self, name: str) -> None:
        # What is offered, and nothing else: a client's text must never become a path.
        if name not in self.sources:
            known = ", ".join(self.sources) or "none"
            raise HTTPError(422, f"this server reads no words by '{name[:100]}': it has {known}")

    def _sentences(self, given: Sequence[dict[str, Any]]) -> list[Sentence]:
        sentences = list[Sentence]()
        self._refuse_many([one["text"] for one in given])
        for i, one in enumerate(given):
            place, limits = f"sentences[{i}]", self._worker.limits
            entities = [
                entity | {"type": label(entity["type"], limits, f"{place}, the type")} for entity in one["entities"]
            ]
            text = self._text(one["text"], f"{place}.text").value
            sentences.append(json_spans.from_object({"text": text, "entities": entities}, place))
        return tagged(sentences)

    def _text(self, text: str, name: str) -> Raw:
        if len(text) > self._worker.limits.text:
            raise HTTPError(422, f"{name} has {len(text):,} characters, and {self._worker.limits.text:,} is most")
        if not text.strip():
            raise HTTPError(422, f"{name} is empty: give a text")
        return Raw("texts", text.encode("utf-8", "replace").decode(), name)

    def _refuse_many(self, texts: Sequence[str]) -> None:
        limits, characters = self._worker.limits, sum(map(len, texts))
        if len(texts) > limits.batch:
            raise HTTPError(
                413, f"there are {len(texts):,} texts in one request, and {limits.batch} is most: send several"
            )
        if characters > (most := _FULL_LENGTH * limits.text):
            raise HTTPError(
                413, f"the texts of one request have {characters:,} characters, and {most:,} is most: send several"
            )

    def _refuse_large(self, words: int, features: int) -> None:
        """Refuse before words are read what could not be kept afterwards."""
        size, most = 2 * words * features / 1e6, self._worker.limits.body_mb
        if size > most:
            raise InputError(
                f"the rows of {words:,} words would take {size:.1f} MB, and {most:g} are most: teach it fewer sentences"
            )


def _offered(settings: Settings) -> dict[str, str]:
    """What taggers may start from that is installed; where sources are listed, what is of these networks alone."""
    listed = {name.partition(":")[0] for name in filter(is_source, settings.sources)}
    about = {SOURCE: shipped()[SOURCE]} | tokens.names()
    network = {name: name.partition(":")[0] for name in about} | {SOURCE: ENCODER.partition(":")[0]}
    return {
        name: about[name]
        for name in about
        if tokens.installed(network[name]) and (not listed or network[name] in listed)
    }


def _tagged(asked: Sequence[tuple[str, Task]]) -> list[Tagged]:
    """Answers to texts of several taggers: together where they are of one."""
    tagged: dict[int, Tagged] = {}
    of: dict[int, list[int]] = {}
    for i, (_, task) in enumerate(asked):
        of.setdefault(id(task), []).append(i)
    for places in of.values():
        texts = untagged([asked[i][0] for i in places])
        tagged |= zip(places, answers(asked[places[0]][1], texts), strict=True)
    return [tagged[i] for i in range(len(asked))]


def _content(task: Task) -> Content:
    about = task.show()
    with _placed() as path:
        file.write(path, task)
        content = path.read_bytes()
    shown = {"source": about["source"], "sentences": about["sentences"], "types": about["types"]}
    return Content(file=content, version=about["version"], about=shown)


@contextmanager
def _placed(content: bytes | None = None) -> Iterator[Path]:
    """A file for what reads and writes no other way, with this content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tagger.fewshot"
        if content is not None:
            path.write_bytes(content)
        yield path
