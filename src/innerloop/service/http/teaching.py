"""Learning from examples: checked, encoded, and one version, whether they come in one request or in several."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from anyio import to_thread
from torch import from_numpy

from innerloop.fewshot.reading import Reading
from innerloop.fewshot.sources import Source
from innerloop.service.http import thumbnails, work
from innerloop.service.http.adapted import Raw, check_kind, check_shape, check_ways, decide
from innerloop.service.http.errors import HTTPError
from innerloop.service.store import drifts, held
from innerloop.service.store.errors import RereadError
from innerloop.service.store.held import Held, Part
from innerloop.service.store.records import Change, Example, Task
from innerloop.service.store.store import Besides, Store
from innerloop.tasks.images import Scan

if TYPE_CHECKING:
    from innerloop.service.http.service import Service

Picture = tuple[bytes, str] | None


class Teaching:
    """What teaches the tasks of a worker.

    Args:
        worker: Whose store, queues and sources are used.
    """

    def __init__(self, worker: "Service"):
        self._worker = worker

    async def teach(
        self,
        store: Store,
        name: str,
        raw: Sequence[Raw],
        expected: int | None = None,
        action: str = "",
        part: Part | None = None,
    ) -> Change:
        """Learn from labelled examples, all or none of them; they are on the disk when this returns.

        Args:
            store: As the client asked it.
            name: Of the task.
            raw: The examples.
            expected: The version that the client saw; None: any.
            action: What the version's history says; empty: the labels.
            part: The change whose last part this is; None: it is all of one.
        """
        worker = self._worker
        if (known := await worker.threads.read(store.known)) is not None:  # before what it changed is held against it
            return known
        task, source, pictures = await self._begun(name, raw)
        while True:
            before = [] if part is None else await worker.threads.read(held.find, worker.store, task, part)
            decided = decide(source, [*_seen(source, before), *await self._scans(source, raw)])
            rows = await self._encode(task, decided, raw)
            # Those that came before are read as all of them together decide, as if they had come at once.
            taught = [await to_thread.run_sync(_example, one, decided) for one in before]
            taught += [_taught(*each) for each in zip(raw, rows, pictures, strict=True)]
            readings = source.reading, decided.reading
            try:
                return await self._keep(store, task, [*before, *raw], taught, expected, action, readings, part)
            except RereadError:  # another request taught the first pictures: what they decided holds
                task, source = await to_thread.run_sync(worker.task, name)

    async def hold(self, store: Store, name: str, raw: Sequence[Raw], part: Part) -> tuple[int, int]:
        """Keep examples of a change whose last part is still to come.

        Returns:
            The version of the task, and how many examples of the change there are.
        """
        worker = self._worker
        if (known := await worker.threads.read(store.known)) is None:
            task, source, pictures = await self._begun(name, raw)
            scans = await self._scans(source, raw)
            seen = [(scan.paper, scan.colour) for scan in scans] or [None] * len(raw)
            rows = [scan.row.numpy() for scan in scans] or await self._encode(task, decide(source, []), raw)
            kept = [_taught(*each) for each in zip(raw, rows, pictures, strict=True)]
            examples = [
                Held(example=example, name=one.name, seen=about)
                for one, example, about in zip(raw, kept, seen, strict=True)
            ]
            known = await worker.threads.change(held.hold, store, name, part, examples)
        task = await worker.threads.read(worker.store.task, name)
        return known.version, await worker.threads.read(held.count, worker.store, task, part)

    async def feedback(self, store: Store, name: str, prediction: str, label: str, expected: int | None) -> Change:
        """Learn from the example behind a prediction."""
        worker = self._worker
        if (known := await worker.threads.read(store.known)) is not None:
            return known
        task, source = await to_thread.run_sync(worker.task, name)
        asked = await to_thread.run_sync(worker.recent.find, prediction, task.id)
        if asked is None:
            raise HTTPError(410, "that prediction is no longer remembered: send the example itself, with its label")
        raw = [asked.raw._replace(label=label)]
        known = await self._check_classes(task, source, raw)
        (picture,) = await self._thumbnails(raw)
        taught = [_taught(raw[0], asked.row, picture)]
        # No answer could have been a class that there was not.
        noted = functools.partial(drifts.answered, right=asked.answer == label) if label in known else None
        return await self._keep(store, task, raw, taught, expected, f"feedback: 1 to {label}", besides=noted)

    async def _begun(self, name: str, raw: Sequence[Raw]) -> tuple[Task, Source, Sequence[Picture]]:
        """The task, how it is read, and small copies of pictures, once nothing speaks against the examples."""
        task, source = await to_thread.run_sync(self._worker.task, name)
        check_kind(source, raw)
        await self._check_classes(task, source, raw)
        # Thumbnails first: a picture that cannot be read is refused before an encoder spends time on the others.
        return task, source, await self._thumbnails(raw)

    async def _keep(
        self,
        store: Store,
        task: Task,
        named: Sequence[Raw | Held],
        taught: Sequence[Example],
        expected: int | None,
        action: str,
        readings: tuple[Reading, Reading] | None = None,
        part: Part | None = None,
        besides: Besides | None = None,
    ) -> Change:
        check_shape(task, [example.row for example in taught], named)
        about = (task.name, taught, action, expected, readings)
        if part is not None:
            waiting = sum(isinstance(one, Held) for one in named)
            besides = functools.partial(held.release, part=part, count=waiting)
        change = await self._worker.threads.change(store.add, *about, besides)
        self._worker.metrics.examples.inc(len(taught))
        return change

    async def _check_classes(self, task: Task, source: Source, raw: Sequence[Raw]) -> dict[str, int]:
        """Refuse too many classes before anything is computed; the store counts once more. Returns those there are."""
        most = self._worker.limits.classes
        _, known = await self._worker.threads.read(self._worker.store.described, task.name)
        labels = set(known) | {str(example.label) for example in raw}
        if len(labels) > most:
            raise HTTPError(422, f"a task has at most {most:,} classes, these would be {len(labels):,}")
        shape = task.shape or source.shape
        if len(labels) > len(known) and shape is not None:
            await to_thread.run_sync(check_ways, source, shape, len(labels))
        return known

    async def _thumbnails(self, raw: Sequence[Raw]) -> list[Picture]:
        small = functools.partial(work.small, pixels=self._worker.limits.pixels)
        return await self._worker.together(("thumbnail",), raw, raw, small)

    async def _encode(self, task: Task, source: Source, raw: Sequence[Raw]) -> list[np.ndarray]:
        encoded = functools.partial(work.encoded, pixels=self._worker.limits.pixels)
        pairs, queue = [(example, source) for example in raw], ("encode", task.file or source.name)
        return await self._worker.together(queue, raw, pairs, encoded, source.kind == "texts")

    async def _scans(self, source: Source, raw: Sequence[Raw]) -> list[Scan]:
        """What tells ink from paper in the first pictures of a task; none where it is known."""
        preprocessing, pictures = source.preprocessing, [example for example in raw if example.kind == "pictures"]
        if preprocessing is None or not pictures or not source.reading.undecided(preprocessing):
            return []
        size = preprocessing["size"]
        scanned = functools.partial(work.scanned, size=size)
        return await self._worker.together(("scan", size), pictures, pictures, scanned)


def _taught(raw: Raw, row: np.ndarray, picture: Picture) -> Example:
    if raw.kind == "sounds" and row.ndim == 3:
        picture = thumbnails.of_row(from_numpy(row)), "image/png"  # what is seen of a sound
    thumbnail, mime = picture or (None, None)
    text = raw.value if raw.kind == "texts" else None
    return Example(row=row, label=str(raw.label), text=text, picture=thumbnail, mime=mime)


def _scan(one: Held) -> Scan | None:
    return None if one.seen is None else Scan(from_numpy(one.example.row.copy()), *one.seen)


def _seen(source: Source, before: Sequence[Held]) -> list[Scan]:
    """What tells ink from paper in the pictures that came before; none where it is known by now."""
    if source.preprocessing is None or not source.reading.undecided(source.preprocessing):
        return []
    return [scan for one in before if (scan := _scan(one)) is not None]


def _example(one: Held, decided: Source) -> Example:
    scan = _scan(one)
    return one.example if scan is None else replace(one.example, row=decided.reading.row(scan, one.name).numpy())
