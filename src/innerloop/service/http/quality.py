"""Why an answer is what it is, and how good a task is: what is computed only where somebody asks."""

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from innerloop.core.errors import FailedError
from innerloop.fewshot.nearest import Neighbour
from innerloop.service.http.adapted import Adapted
from innerloop.service.http.cache import Cache
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.turns import TURN
from innerloop.service.store.records import State, Task

NEAREST = 3
"""Taught examples that are named for each answer."""
_KEPT, _WAITING = 1_000, 8
_BYTES = 64e6


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
    picture = f"/api/tasks/{task}/examples/{example['id']}/picture" if example.get("mime") else None
    return {"id": example.get("id"), "text": example.get("text"), "picture": picture}


class Evaluations:
    """How good tasks are, by version, computed by one thread beside those that answer, each once.

    Args:
        seconds: How long a request waits; what it waited for goes on, and is there when it comes again.
    """

    def __init__(self, seconds: float):
        self._seconds, self._closed = seconds, False
        self._kept: Cache[dict[str, Any]] = Cache(_KEPT, _BYTES, lambda content: content["bytes"])
        self._latest: dict[int, dict[int, State]] = {}
        self._pool = ThreadPoolExecutor(1, "evaluation")
        self._running: dict[State, Future[dict[str, Any]]] = {}

    def close(self) -> None:
        """End what is computed, at the next fold, and what waits."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def forget(self, task: int) -> None:
        """Let those of a task go, which was changed for good or deleted."""
        self._latest.pop(task, None)
        self._kept.forget(lambda key, _: isinstance(key, tuple) and key[0] == task)

    async def of(self, task: Task, adapted: Adapted) -> dict[str, Any]:
        """The evaluation of a task at its version, with the accuracy of the version before that was evaluated last.

        Raises:
            HTTPError: Too many wait already, it takes longer than a request may wait, or the task is too small.
        """
        key = task.state
        content = self._kept.find(key)
        if content is None:
            content = await self._computed(key, lambda: adapted.evaluation(task.name, self._go_on))
        # Copied at once: the thread that evaluates adds to it.
        earlier = {v: key for v, key in dict(self._latest.get(task.id, {})).items() if v < task.version}
        before = self._kept.find(earlier[max(earlier)]) if earlier else None
        previous = None if before is None else {"version": max(earlier), "accuracy": before["accuracy"]}
        shown = {name: value for name, value in content.items() if name != "bytes"}
        return shown | {"task": task.name, "version": task.version, "source": task.source, "previous": previous}

    async def _computed(self, key: State, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if (turn := TURN.get()) is not None:
            turn.end()  # who waits for this goes on looking at other things
        if key not in self._running and len(self._running) >= _WAITING:
            raise HTTPError(503, f"{_WAITING} tasks wait to be evaluated already: try again", retry=5)
        future = self._running.get(key)
        if future is None:
            future = self._running[key] = self._pool.submit(work)
            # Not here, below: whoever asked may have left by then.
            future.add_done_callback(functools.partial(self._keep, key))
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(asyncio.wrap_future(future))
        except TimeoutError as error:
            message = f"it takes longer than {self._seconds:g} s and goes on: ask again for what comes out"
            raise HTTPError(503, message, retry=5) from error

    def _keep(self, key: State, future: Future[dict[str, Any]]) -> None:
        if not future.cancelled() and future.exception() is None:
            self._kept.put(key, future.result())
            self._latest.setdefault(key[0], {})[key[1]] = key
        self._running.pop(key, None)

    def _go_on(self, done: int, total: int) -> None:
        if self._closed:
            raise FailedError("the server is stopping: try again")
