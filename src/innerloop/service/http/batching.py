"""Work of many requests done together: a queue for each kind of work, and a batch goes as soon as a thread is free."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from innerloop.core.threads import stay_on_one_core
from innerloop.service.http.errors import HTTPError

Work = Callable[[list[Any]], Sequence[Any]]
"""Items in, as many results out, in their order; what an item gives does not depend on the others."""


@dataclass(eq=False)
class _Job:
    items: list[Any]
    work: Work
    alone: bool
    future: "Future[list[Any]]" = field(default_factory=Future)


class Batcher:
    """Threads that take what waits, one queue at a time, in turns.

    There is no waiting for a batch to fill: under light load an item goes alone and at once, under heavy load what
    arrived while the threads were busy goes together.

    Args:
        threads: How many, each using one core.
        waiting: Items that may wait; more are refused.
        largest: Items of one batch.
        seen: Is told the queue's name and the items of every batch.
    """

    def __init__(
        self,
        threads: int,
        waiting: int = 1024,
        largest: int = 32,
        seen: Callable[[Hashable, int], None] = lambda queue, items: None,
    ):
        self.waiting, self.largest = waiting, largest
        self._seen = seen
        self._queues: OrderedDict[Hashable, deque[_Job]] = OrderedDict()
        self._held: set[Hashable] = set()
        self._items = 0
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._serve, name=f"batch-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    @property
    def items(self) -> int:
        """How many wait now."""
        return self._items

    def submit(self, queue: Hashable, items: Sequence[Any], work: Work, alone: bool = False) -> "Future[list[Any]]":
        """Have items worked on together with what else waits in the same queue.

        Args:
            queue: Items of one queue may be given to the `work` of any of them.
            items: At least one.
            work: What is done.
            alone: One thread at a time works on this queue: a second one would only wait for what the first one
                holds, with a part of the items in its hands.

        Raises:
            HTTPError: Too many wait already (503).
        """
        job = _Job(list(items), work, alone)
        with self._changed:
            if self._closed:
                raise HTTPError(503, "the server is stopping: try again", retry=2)
            # One request that is larger than the bound may still go when nothing else waits.
            if self._items and self._items + len(job.items) > self.waiting:
                raise HTTPError(503, f"{self._items:,} examples are waiting already: try again in a second", retry=1)
            self._queues.setdefault(queue, deque()).append(job)
            self._items += len(job.items)
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """Finish what waits, then stop the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        stay_on_one_core()
        while (taken := self._take()) is not None:
            queue, jobs = taken
            # A request that was given up is left out; from here on it cannot be cancelled any more.
            live = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if live:
                self._seen(queue, sum(len(job.items) for job in live))
                _run(live)
            if jobs[0].alone:
                with self._changed:
                    self._held.discard(queue)
                    self._changed.notify_all()

    def _take(self) -> tuple[Hashable, list[_Job]] | None:
        with self._changed:
            while (queue := next((q for q in self._queues if q not in self._held), None)) is None:
                if self._closed and not self._queues:
                    return None
                self._changed.wait()
            waiting = self._queues.pop(queue)
            jobs, items = [waiting.popleft()], 0
            items += len(jobs[0].items)
            while waiting and items + len(waiting[0].items) <= self.largest:
                jobs.append(waiting.popleft())
                items += len(jobs[-1].items)
            if waiting:
                self._queues[queue] = waiting  # at the end: others have their turn first
                self._changed.notify()
            self._items -= items
            if jobs[0].alone:
                self._held.add(queue)
            return queue, jobs


def _run(jobs: list[_Job]) -> None:
    items = [item for job in jobs for item in job.items]
    try:
        results = list(jobs[0].work(items))
        if len(results) != len(items):
            raise RuntimeError(f"{len(items)} items gave {len(results)} results")
    except BaseException as error:
        if len(jobs) == 1:
            jobs[0].future.set_exception(error)
            return
        for job in jobs:  # one bad item spoils only the request that it came with
            _run([job])
        return
    for job in jobs:
        job.future.set_result(results[: len(job.items)])
        del results[: len(job.items)]
