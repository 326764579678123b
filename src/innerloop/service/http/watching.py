"""Watches of tasks of texts, as `innerloop watch` has them on the command line: events come in by requests."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from innerloop.apps.text.watch import correction, tasks, visit
from innerloop.apps.text.watch.settings import Settings
from innerloop.apps.text.watch.tasks import Subject
from innerloop.apps.text.watch.visit import Answered
from innerloop.core.errors import FailedError
from innerloop.fewshot.answers import Answer
from innerloop.service.http import work
from innerloop.service.http.access import Access
from innerloop.service.http.adapted import Adapted, Raw
from innerloop.service.http.cache import Cache
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.threads import T, Threads
from innerloop.service.store.records import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from innerloop.service.http.service import Service

_FOLDER = "watches"
_SUBJECTS = 64
"""Tasks whose confusions are in memory."""
_NONE = "task '{}' has no watch: begin one (POST /api/tasks/.../watch)"


class Watching:
    """What takes events in one worker; each watch is a file of its own, beside the store.

    Args:
        worker: Whose store, queues and sources are used.
    """

    def __init__(self, worker: "Service"):
        self._worker = worker
        self._seconds = worker.limits.store_seconds
        # Its own: whoever waits for a watch is not to keep changes of tasks from the store.
        self._threads = Threads(worker.limits.changes)
        self._subjects: Cache[Subject] = Cache(_SUBJECTS, 64e6, lambda subject: 64 * len(subject.answers) ** 2 + 4096)

    async def begin(self, name: str, other: str | None, settings: Settings) -> None:
        """Begin to watch a task, or two on the same texts, anew where it was watched.

        Raises:
            HTTPError: One is none of texts, or it is the same twice.
            FailedError: The watch that there is cannot be had.
        """
        if other == name:
            raise HTTPError(422, f"'{name}' is given twice: give two tasks, such as one of topics and one of moods")
        both = [await self._asked(one) for one in (name, other) if one is not None]
        subjects = [await self._subject(task, adapted) for task, adapted in both]
        tasks.check_pairs(subjects)
        about = {"tasks": [{"name": t.name, "version": t.version, "state": _state(t)} for t, _ in both]}
        task = both[0][0]
        await self._change(visit.begin, self._path(task), subjects, settings, about, self._seconds)
        await self.sweep()  # a task may have been deleted meanwhile

    async def take(self, name: str, lines: Sequence[bytes], finish: bool, reach: Access) -> dict[str, Any]:
        """Take events, one a line.

        Raises:
            HTTPError: There is no watch, a task of it is out of reach, or was taught since it was begun.
            FailedError: It cannot be had, or written.
        """
        path, setup = await self._setup(name)
        _check_reach(setup, reach)
        texts = await self._worker.threads.read(visit.texts, lines)
        raw = [Raw("texts", text[: self._worker.limits.text], "event") for text in texts]
        subjects, places = [], [list[int]() for _ in texts]
        first, rows = None, list[np.ndarray]()
        for one in setup.about["tasks"]:
            task, adapted = await self._asked(one["name"])
            _check_same(one, task)
            subjects.append(subject := await self._subject(task, adapted))
            if first is not None and tasks.one_encoder(first.classifier, adapted.classifier):
                answers = await self._of_rows(adapted, raw, rows)
            else:
                rows, answers = await self._answers(task, raw)
            first = first or adapted
            self._count(answers)
            for place, answer in zip(places, answers, strict=True):
                place.append(_place(subject, answer))
        labels = Answered(subjects, dict(zip(texts, places, strict=True)))
        return await self._change(visit.take, path, labels, setup.settings, lines, finish, self._seconds)

    async def stands(self, name: str, reach: Access) -> dict[str, Any] | None:
        """How it stands; None: there is no watch.

        Raises:
            HTTPError: A task of it is out of reach, or was taught since it was begun.
        """
        task = await self._worker.threads.read(self._worker.store.task, name)
        if (setup := await self._worker.threads.read(visit.setup, self._path(task))) is None:
            return None
        _check_reach(setup, reach)
        about = {"tasks": setup.about["tasks"], "settings": setup.settings.to_json()}
        subjects = []
        for one in setup.about["tasks"]:
            task_now, adapted = await self._asked(one["name"])
            _check_same(one, task_now)
            subjects.append(await self._subject(task_now, adapted))
        return about | await self._change(visit.stands, self._path(task), subjects, setup.settings, self._seconds)

    async def end(self, name: str) -> None:
        """Forget a watch, with what people wrote.

        Raises:
            HTTPError: There is none.
        """
        path, _ = await self._setup(name)
        await self._change(visit.end, path, self._seconds)

    async def sweep(self) -> None:
        """Forget watches of tasks that are gone, with what is in memory of these; of two tasks, where either is.

        Raises:
            HTTPError: Somebody has one of them.
        """
        known = await self._change(self.swept, self._seconds)
        self._subjects.forget(lambda key, _: isinstance(key, tuple) and key[0] not in known)

    def swept(self, seconds: float) -> set[int]:
        """The same for files, waiting so long for each; ids of tasks that may be watched."""
        # Files first: a task that is made meanwhile is known below.
        begun = {path: _ids(path) for path in self._folder.glob("*.sqlite")}
        known = {task.id for task, _ in self._worker.store.tasks()} if begun else set[int]()
        for path, ids in begun.items():
            if not ids <= known:
                visit.end(path, seconds)
        return known

    @property
    def _folder(self) -> Path:
        return self._worker.store.database.beside / _FOLDER

    def _path(self, task: Task) -> Path:
        return self._folder / f"{task.id}.sqlite"  # an id is never given twice

    async def _setup(self, name: str) -> tuple[Path, visit.Setup]:
        task = await self._worker.threads.read(self._worker.store.task, name)
        path = self._path(task)
        if (setup := await self._worker.threads.read(visit.setup, path)) is None:
            raise HTTPError(409, _NONE.format(name))
        return path, setup

    async def _asked(self, name: str) -> tuple[Task, Adapted]:
        task, adapted = await self._worker.learned(name)
        if adapted.source.kind != "texts":
            raise HTTPError(422, f"task '{name}' reads {adapted.source.kind}, and a watch reads texts: ask `predict`")
        return task, adapted

    async def _subject(self, task: Task, adapted: Adapted) -> Subject:
        if (known := self._subjects.find(task.state)) is not None:
            return known
        try:
            result, _ = await self._worker.evaluated(task)
            found = correction.of_counts(np.array(result["confusion"]["counts"]), result["reject"])
        except HTTPError as error:
            if error.status != 409:
                raise
            found = None  # too few to hold some out
        made = tasks.subject(task.name, adapted.classifier, _state(task), found)
        self._subjects.put(task.state, made)
        return made

    async def _answers(self, task: Task, raw: Sequence[Raw]) -> tuple[list[np.ndarray], list[Answer]]:
        """The rows of texts and what a task says of them, in parts that others can come between."""
        found, each = list[tuple[np.ndarray, Answer]](), self._worker.limits.batch
        for first in range(0, len(raw), each):
            now, _, results = await self._worker.answered(task.name, raw[first : first + each])
            if now.state != task.state:
                raise HTTPError(409, f"task '{task.name}' was taught while these events came: send them again")
            found += results
        return [row for row, _ in found], [answer for _, answer in found]

    async def _of_rows(self, adapted: Adapted, raw: Sequence[Raw], rows: Sequence[np.ndarray]) -> list[Answer]:
        """What a task says of texts whose rows another made, in such parts."""
        asked, each = [(row, one, adapted) for row, one in zip(rows, raw, strict=True)], self._worker.limits.batch
        answers = list[Answer]()
        for first in range(0, len(raw), each):
            part = slice(first, first + each)
            answers += await self._worker.together(("rows",), raw[part], asked[part], work.of_rows)
        return answers

    def _count(self, answers: Sequence[Answer]) -> None:
        accepted = sum(answer.accepted for answer in answers)
        self._worker.metrics.predictions.labels("yes").inc(accepted)
        self._worker.metrics.predictions.labels("no").inc(len(answers) - accepted)

    async def _change(self, change: "Callable[..., T]", *args: Any) -> T:
        try:
            return await self._threads.change(change, *args)
        except visit.ChangedError as error:
            raise HTTPError(409, str(error)) from error
        except FailedError as error:
            raise HTTPError(503, str(error), retry=2) from error


def _ids(path: Path) -> set[int]:
    """Ids of the tasks of a watch, the first of which is its name; of a file of somebody else, none."""
    if not path.stem.isdigit():
        return set()
    setup = visit.setup(path)
    others = [] if setup is None else [one["state"].partition("-")[0] for one in setup.about["tasks"]]
    return {int(path.stem), *map(int, others)}


def _check_reach(setup: visit.Setup, reach: Access) -> None:
    """Refuse a key that is not for both tasks: a watch says what each answers."""
    for one in setup.about["tasks"]:
        reach.check(one["name"])


def _state(task: Task) -> str:
    """What its answers follow from."""
    return "-".join(map(str, (task.id, task.version, *task.wanted)))


def _check_same(begun: dict[str, Any], task: Task) -> None:
    if begun["state"] != _state(task):
        raise HTTPError(
            409,
            f"task '{task.name}' was taught, or made anew, since its watch began at version {begun['version']}, and "
            "what is usual is known of its answers then: begin the watch anew (POST /api/tasks/.../watch)",
        )


def _place(subject: Subject, answer: Answer) -> int:
    # What is refused comes after all classes, whatever these are called.
    return subject.answers.index(str(answer.label)) if answer.accepted else len(subject.answers) - 1
