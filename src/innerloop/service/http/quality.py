"""Why an answer is what it is, and how good a task is: what is computed only where somebody asks."""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from innerloop.core.errors import FailedError
from innerloop.fewshot.nearest import Neighbour
from innerloop.service import task_names
from innerloop.service.http.adapted import Adapted
from innerloop.service.http.cache import Cache
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.turns import TURN
from innerloop.service.store import evaluations
from innerloop.service.store.errors import StoreError
from innerloop.service.store.records import Task
from innerloop.service.store.store import Store

NEAREST = 3
"""Taught examples that are named for each answer."""
_WAITING = 8
"""Tasks that are evaluated or wait for it."""
_KEPT = 256
"""Answers by numbers of shots that stay in memory."""


def neighbours(asked: Sequence[tuple[np.ndarray, Adapted]]) -> list[list[Neighbour]]:
    """The nearest taught examples of rows of several tasks."""
    nearest: list[list[Neighbour]] = [[] for _ in asked]
    places: dict[int, list[int]] = {}
    for i, (_, adapted) in enumerate(asked):
        places.setdefault(id(adapted), []).append(i)
    for mine in places.values():
        adapted = asked[mine[0]][1]
        for i, one in zip(mine, adapted.nearest([asked[j][0] for j in mine], NEAREST), strict=True):
            nearest[i] = one
    return nearest


def described(task: str, one: Neighbour, known: Mapping[tuple[str, int], dict[str, Any]]) -> dict[str, Any]:
    """A taught example in plain JSON, with its text or the path of its picture where the store has it."""
    about = stored(task, known.get((str(one.label), one.number), {}))
    about["example"] = about.pop("id")
    return {"label": str(one.label), "number": one.number, "distance": one.distance} | about


def stored(task: str, example: Mapping[str, Any]) -> dict[str, Any]:
    """The id of a taught example, and its text or the path of its picture; null what the store does not have."""
    picture = f"{task_names.address(task)}/examples/{example['id']}/picture" if example.get("mime") else None
    return {"id": example.get("id"), "text": example.get("text"), "picture": picture}


class Evaluations:
    """How good tasks are, by version, computed by one thread beside those that answer, each once.

    Args:
        store: Where they are kept.
        seconds: How long a request waits; what it waited for goes on, and is there when it comes again.
    """

    def __init__(self, store: Store, seconds: float):
        self._store, self._seconds, self._closed = store, seconds, False
        self._pool = ThreadPoolExecutor(1, "evaluation")
        self._running: dict[Hashable, Future[dict[str, Any]]] = {}
        self._shots: Cache[dict[str, Any]] = Cache(_KEPT, _KEPT * 4096, lambda _: 4096)

    def close(self) -> None:
        """End what is computed, at the next fold, and what waits."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def kept(self, task: Task) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """The evaluation of a task at its version, and version and accuracy of the one before; None where none is."""
        return evaluations.find(self._store, task), evaluations.before(self._store, task)

    async def computed(self, task: Task, adapted: Adapted) -> dict[str, Any]:
        """The evaluation of a task at its version, once it is there.

        Raises:
            HTTPError: Too many wait already, it takes longer than a request may wait, or the task is too small.
        """
        return await self._waited(task.state, functools.partial(self._compute, task, adapted))

    async def by_shots(self, task: Task, adapted: Adapted, shots: tuple[int, ...]) -> dict[str, Any]:
        """How good a task would be with fewer of its examples, in plain JSON, once it is there.

        Raises:
            HTTPError: As of `computed`, or a class has too few examples.
        """
        key = (task.state, shots)
        kept = self._shots.find(key)
        return kept or await self._waited(key, functools.partial(self._counted, key, adapted, shots))

    async def _waited(self, key: Hashable, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if (turn := TURN.get()) is not None:
            turn.end()  # who waits for this goes on looking at other things
        if key not in self._running and len(self._running) >= _WAITING:
            raise HTTPError(503, f"{_WAITING} tasks wait to be evaluated already: try again", retry=5)
        future = self._running.get(key)
        if future is None:
            future = self._running[key] = self._pool.submit(work)
            # Not here, below: whoever asked may have left by then.
            future.add_done_callback(lambda _: self._running.pop(key, None))
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(asyncio.wrap_future(future))
        except TimeoutError as error:
            message = f"it takes longer than {self._seconds:g} s and goes on: ask again for what comes out"
            raise HTTPError(503, message, retry=5) from error

    def _counted(self, key: Hashable, adapted: Adapted, shots: tuple[int, ...]) -> dict[str, Any]:
        content = adapted.by_shots(shots, self._go_on)
        self._shots.put(key, content)
        return content

    def _compute(self, task: Task, adapted: Adapted) -> dict[str, Any]:
        content = adapted.evaluation(task.name, self._go_on)
        if not self._closed:
            # It can be computed again: a store that cannot be written now costs no answer.
            with contextlib.suppress(StoreError):
                evaluations.keep(self._store, task, content)
        return content

    def _go_on(self, done: int, total: int) -> None:
        if self._closed:
            raise FailedError("the server is stopping: try again")
