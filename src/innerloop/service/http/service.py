"""What the service does with a request once it is read: encode, learn, predict, keep."""

import asyncio
import contextlib
import functools
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from innerloop.core.errors import FailedError, InnerloopError, InputError
from innerloop.core.rules import By
from innerloop.core.texts import FILES
from innerloop.encoders.base import content_of
from innerloop.fewshot import container, priors
from innerloop.fewshot.answers import Answer
from innerloop.fewshot.calibrate import Wanted
from innerloop.fewshot.settings import Names
from innerloop.fewshot.sources import Source
from innerloop.service import tracing
from innerloop.service.http import quality, transfer, work
from innerloop.service.http.adapted import Adapted, Measured, Raw, check_kind, naming_of
from innerloop.service.http.batching import Batcher
from innerloop.service.http.cache import Cache
from innerloop.service.http.chatting import Chatting
from innerloop.service.http.costs import costs_of
from innerloop.service.http.daily import Daily
from innerloop.service.http.drifting import Drifting
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.jobs import Work
from innerloop.service.http.labelling import Labelling
from innerloop.service.http.learning import learned
from innerloop.service.http.limiting import Limiting
from innerloop.service.http.metrics import Metrics
from innerloop.service.http.offers import Sources, is_file, is_source
from innerloop.service.http.recent import Asked
from innerloop.service.http.recent_shelves import recent
from innerloop.service.http.recommending import Recommending
from innerloop.service.http.tagging import Tagging
from innerloop.service.http.teaching import Teaching
from innerloop.service.http.threads import Threads, thread
from innerloop.service.http.told import Told
from innerloop.service.http.turns import TURN
from innerloop.service.http.watching import Watching
from innerloop.service.settings import Settings
from innerloop.service.stages import elsewhere, stage
from innerloop.service.store.ask import ask
from innerloop.service.store.erase import erase, erase_task
from innerloop.service.store.errors import BusyError
from innerloop.service.store.keys import Keys
from innerloop.service.store.records import Change, Task
from innerloop.service.store.store import Store
from innerloop.service.store.taught import numbered
from innerloop.service.store.transfer import file_of


class Service:
    """One worker: its store, its queues and what it keeps in memory.

    Args:
        settings: How it is run.

    Raises:
        InputError: The store or a source that was named cannot be used.
        LostError: The store is damaged.
    """

    def __init__(self, settings: Settings):
        self.settings, self.limits = settings, settings.limits
        self.store = Store(settings.store, self.limits)
        self.store.database.examine()
        with contextlib.suppress(BusyError):  # what a server before was asked to erase when it was ended
            self.store.database.scrub()
        self.traces = tracing.started(settings.traces)
        """Spans of requests; None: nobody wants them."""
        self._daily = Daily(self.store.database)
        self.threads = Threads(self.limits.changes)
        self.keys = Keys(self.store.database)
        self.drifting = Drifting(self.store)
        self.metrics = Metrics(self.drifting, Limiting(self.keys))
        # Sources are loaded before anything listens, so that the first client does not wait for them.
        self.sources = Sources(settings)
        threads = self.limits.workers_threads(settings.workers)
        self.batcher = Batcher(threads, self.limits.waiting, seen=self.metrics.batch)
        self.recent = recent(settings, self.store.database)
        # By id and version: what another worker changes has another key, so nobody need be told.
        self._adapted: Cache[Adapted] = Cache(self.limits.adapted, self.limits.adapted_mb * 1e6, lambda a: a.size)
        self._told = Told(self.store, self._adapted, self._adapt)
        self.evaluations = quality.Evaluations(self.store, self.limits.seconds)
        self.teaching = Teaching(self)
        self.chatting = Chatting(self)
        self.tagging = Tagging(self)
        self.labelling = Labelling(self)
        self.recommending = Recommending(self)
        self.watching = Watching(self)
        with contextlib.suppress(FailedError):  # another worker does it just now
            self.watching.swept(0.0)
        self._turn: dict[str, tuple[Task, Source]] = {}
        for name in settings.sources:
            if is_source(name):
                continue
            if not is_file(name):
                self.recommending.serve(name)
            elif container.kind_of(Path(name).expanduser()) == "tagger":
                self.tagging.serve(name, settings.allow)
            else:
                transfer.serve(self.store, self.sources, name, settings.allow)

    def close(self) -> None:
        """Refuse what waits."""
        # The store last: all the others may still be using it.
        self.evaluations.close()
        self._told.close()
        self._daily.close()
        self.batcher.close(finish=False)
        self.recent.close()
        self.drifting.close()
        self.store.close()
        if self.traces is not None:
            self.traces.close()

    async def source_of(self, source: str, prior: str | None) -> str:
        """What a task is taught to, by name: what it starts from, where that is another than the source.

        Raises:
            HTTPError: One of them is not offered.
            InputError: The prior has learned of other rows.
        """
        if prior in (None, priors.NOTHING):
            return source
        await thread(priors.begun, await thread(self.sources.find, source), prior, self.sources.find)
        return prior

    async def create(
        self,
        store: Store,
        name: str,
        source: str,
        wanted: Wanted,
        head: str | None = None,
        names: Names | None = None,
        descriptions: Mapping[str, str] | None = None,
        classes: Sequence[str] = (),
        budget: int | None = None,
    ) -> Task:
        """A new task, of a source that is offered; `store` is as the client asked it, here and below."""
        offered = await thread(self.sources.find, source)
        known = offered.headed(head).head
        naming = naming_of(offered, names, descriptions, classes, self.limits)
        pin = content_of(offered.encoder)
        return await self.threads.change(store.create, name, source, offered.kind, wanted, known, naming, pin, budget)

    async def ask(self, store: Store, name: str, wanted: Wanted) -> tuple[Task, dict[str, int], Measured | None]:
        """Ask something else of a task's "none of these", as `described` says it then."""
        await self.threads.change(ask, store, name, wanted)
        return await self.described(name)

    async def delete(self, store: Store, name: str) -> None:
        """Forget a task."""
        try:
            task = await self.threads.change(store.delete, name)
            # Another worker keeps its copy until newer ones push it out; ids are never given twice: it answers nobody.
            self._forget(task.id)
        finally:  # also where it was deleted before, and somebody had its watch then
            await self.watching.sweep()

    async def erase_task(self, store: Store, name: str) -> None:
        """Forget a task, also what is in memory of it, and overwrite its bytes in every file of the store."""
        try:
            task = await self.threads.change(erase_task, store, name)
            self._forget(task.id)
            await self.threads.change(self.recent.erase, task.id)
        finally:  # also where it was deleted before, and something held the files then
            try:
                await self.watching.sweep()
            finally:
                await self.threads.change(self.store.database.scrub)

    async def erase(self, store: Store, name: str, example: int, expected: int | None) -> Change:
        """Take an example out of all versions, of what is in memory, and of every file of the store."""
        task = await self.threads.read(self.store.task, name)
        bare = None if task.file is None else await thread(transfer.bare, self.store, self.sources, task.file)
        try:
            return await self.threads.change(erase, store, name, example, expected, bare)
        finally:  # also where it was erased before, and something held the files then
            self._forget(task.id)
            await self.threads.change(self.recent.erase, task.id)
            await self.threads.change(self.store.database.scrub)

    async def predict(
        self, name: str, raw: Sequence[Raw], explain: bool = False, coverage: float | None = None
    ) -> tuple[int, list[dict[str, Any]]]:
        """The version; for each example what feedback calls it, its class, if asked for why, and the set of classes."""
        task, adapted, results = await self.answered(name, raw)
        answers = [answer for _, answer in results]
        ids = self.noted(task, adapted, raw, results)
        predictions = [{"id": id} | answer.to_json() for id, answer in zip(ids, answers, strict=True)]
        if coverage is not None:
            sets = await thread(adapted.sets, [row for row, _ in results], coverage)
            for prediction, some in zip(predictions, sets, strict=True):
                prediction["set"] = some
        if explain:
            pairs = [(row, adapted) for row, _ in results]
            nearest = await self.together(("nearest",), raw, pairs, quality.neighbours)
            wanted = [(str(one.label), one.number) for near in nearest for one in near]
            known = await self.threads.read(numbered, self.store, task, wanted)
            for prediction, near in zip(predictions, nearest, strict=True):
                prediction["nearest"] = [quality.described(name, one, known) for one in near]
        return task.version, predictions

    async def suggest(
        self, name: str, raw: Sequence[Raw], n: int, by: By
    ) -> tuple[int, list[dict[str, Any]], list[str]]:
        """The version, those examples whose labels it would learn most from with its answers, and what was passed over.

        Raises:
            InputError: The learner has one member, and `by` is what members disagree on.
        """
        task, adapted, results = await self.answered(name, raw)
        chosen = await thread(adapted.most_telling, results, n, by)
        ids = [self.recent.put(Asked(task.id, results[i][0], raw[i], results[i][1].label)) for i in chosen.places]
        answers = [results[i][1].to_json() for i in chosen.places]
        suggestions = [
            {"index": i, "id": id} | answer for i, id, answer in zip(chosen.places, ids, answers, strict=True)
        ]
        return task.version, suggestions, chosen.notices

    async def adapted(self, name: str) -> Adapted:
        """A task as it has learned from its examples."""
        return (await self.learned(name))[1]

    async def learned(self, name: str) -> tuple[Task, Adapted]:
        """The same, and which task it is."""
        task, _ = await thread(self.task, name)
        return task, await thread(self._adapt, task)

    async def evaluation(self, name: str) -> dict[str, Any]:
        """How good a task is, by cross-validation on its own examples; wrong answers with their examples."""
        task, _ = await thread(self.task, name)
        result, previous = await self.evaluated(task)
        about = {"task": task.name, "version": task.version, "source": task.source, "previous": previous}
        wanted = [(error["truth"], error["number"]) for error in result["errors"]]
        known = await self.threads.read(numbered, self.store, task, wanted)
        errors = zip(result["errors"], wanted, strict=True)
        return result | about | {"errors": [error | quality.stored(name, known.get(key, {})) for error, key in errors]}

    async def evaluated(self, task: Task) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """How good a task is, computed where it is not kept; version and accuracy of what was evaluated before.

        Raises:
            HTTPError: It has too few examples (409), or it takes longer than a request may wait (503).
        """
        result, previous = await self.threads.read(self.evaluations.kept, task)
        if result is None:
            result = await self.evaluations.computed(task, await thread(self._adapt, task))
        return result, previous

    async def answered(self, name: str, raw: Sequence[Raw]) -> tuple[Task, Adapted, list[tuple[np.ndarray, Answer]]]:
        """A task as it has learned, and the row and the answer of every example."""
        task, source = self._task_now(name) or await thread(self.task, name)
        adapted = self._adapted.find(task.state) or await thread(self._adapt, task)
        check_kind(source, raw)
        asked = [(example, adapted) for example in raw]
        answer = functools.partial(work.answered, pixels=self.limits.pixels)
        queue = ("predict", task.file or source.name)
        return task, adapted, await self.together(queue, raw, asked, answer, source.kind == "texts")

    def noted(
        self, task: Task, adapted: Adapted, raw: Sequence[Raw], results: Sequence[tuple[np.ndarray, Answer]]
    ) -> list[str]:
        """What feedback calls each answer that is given out; it is counted, and drift is looked for."""
        self.drifting.seen(task, adapted, [row for row, _ in results])
        accepted = sum(answer.accepted for _, answer in results)
        self.metrics.predictions.labels("yes").inc(accepted)
        self.metrics.predictions.labels("no").inc(len(results) - accepted)
        return [
            self.recent.put(Asked(task.id, row, example, answer.label))
            for (row, answer), example in zip(results, raw, strict=True)
        ]

    async def described(self, name: str) -> tuple[Task, dict[str, int], Measured | None]:
        """A task, the number of examples of each class, and what is measured where it can be adapted."""
        task, classes = await self.threads.read(self.store.described, name)
        return task, classes, await self._measured(task, classes)

    def measured(self, task: Task) -> Measured | None:
        """What was measured of a task that is in memory."""
        adapted = self._adapted.find(task.state)
        return None if adapted is None else adapted.measured()

    async def file(self, name: str) -> bytes:
        """The task as a portable `.fewshot` file, with all its versions."""
        _, source = await thread(self.task, name)
        return await thread(transfer.give, self.store, name, source)

    async def take(self, store: Store, name: str, content: bytes) -> tuple[Task, dict[str, int], Measured | None]:
        """A task from a `.fewshot` file, with all its versions, as `described` says it."""
        task = await self.threads.change(transfer.take, store, self.sources, name, content)
        classes = await self.threads.read(store.classes, task)
        return task, classes, await self._measured(task, classes)

    def measure(self) -> None:
        """Bring gauges up to date."""
        self.metrics.waiting.set(self.batcher.items)
        self.metrics.adapted.set(len(self._adapted))

    def _forget(self, task: int) -> None:
        """Let what is in memory of a task go, by its id."""
        self._adapted.forget(lambda key, _: isinstance(key, tuple) and key[0] == task)

    async def _measured(self, task: Task, classes: dict[str, int]) -> Measured | None:
        if len(classes) > 1:
            with contextlib.suppress(InnerloopError):
                return (await thread(self._adapt, task)).measured()
        return None

    async def together(
        self, queue: Hashable, raw: Sequence[Raw], items: Sequence[Any], work: Work, alone: bool = False
    ) -> list[Any]:
        """Results of items, one for each example, that are worked on in turns with those of other requests."""
        files = any(example.kind in FILES for example in raw)
        # Headers of hundreds of files would hold the event loop.
        costs = await thread(costs_of, raw) if files else costs_of(raw)
        with elsewhere() as noted:
            future = self.batcher.submit(queue, items, work, alone, costs, noted=noted)
            if (turn := TURN.get()) is not None:
                turn.end()  # the batcher has turns of its own
            try:
                async with asyncio.timeout(self.limits.seconds):
                    return await asyncio.wrap_future(future)
            except TimeoutError as error:
                message = f"no answer in {self.limits.seconds:g} s: the server is busy, try again"
                raise HTTPError(503, message, 5) from error
            finally:
                future.cancel()  # a client that left, or waited too long: what was not begun need not be worked on

    def task(self, name: str) -> tuple[Task, Source]:
        """A task, and what it is taught to; the source is loaded where it is not in memory.

        Raises:
            HTTPError: The source is not here, or another one since.
        """
        task = self.store.task(name)
        try:
            return task, self._source(task)
        except (HTTPError, InputError) as error:
            raise HTTPError(409, f"task '{name}' was taught to '{task.source}', and {error}") from error

    def _task_now(self, name: str) -> tuple[Task, Source] | None:
        """The task, if its source is loaded: one row is read, which takes less than to ask a thread for it.

        It is read once for all requests that one turn of the event loop finds, so after every one of them came.
        """
        if (known := self._turn.get(name)) is not None:
            return known
        if not self.store.database.instant:
            return None
        try:
            task = self.store.task(name, wait=False)
        except BusyError:  # every other request would wait with this one
            return None
        source = self.sources.loaded(task.source, task.file)
        if source is None:
            return None
        source = replace(source, reading=task.reading)
        self._turn[name] = task, source
        asyncio.get_running_loop().call_soon(self._turn.clear)
        return task, source

    def _source(self, task: Task) -> Source:
        """What a task is taught to, with what was decided about its examples."""
        if task.file is None:
            source = self.sources.find(task.source)
        else:
            source = self.sources.of_file(task.file, functools.partial(file_of, self.store, task.file))
        if task.pin is not None and content_of(source.encoder) != task.pin:
            raise HTTPError(409, f"the files of '{source.name}' are others since: bring those of then back")
        # A task that says no head is older than heads are, unless its source has none.
        before = "centroid" if source.encoder_name is None else "own"
        source = source.headed(task.head or (source.head and before))
        names = None if source.names is None else task.names
        return replace(source, reading=task.reading, names=names, descriptions=task.descriptions)

    def _adapt(self, task: Task) -> Adapted:
        def make() -> Adapted:
            start = time.perf_counter()
            # Not in the batcher's threads: a large task would hold up everybody's predictions.
            adapted = learned(self.store, task, self._source(task))
            self.metrics.adapting.observe(time.perf_counter() - start)
            self.metrics.adaptations.inc()
            return adapted

        if (kept := self._adapted.find(task.state)) is not None:
            return kept
        with stage("adapt"):  # of all who wait for it, whoever does it
            return self._adapted.get(task.state, make)
