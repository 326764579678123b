"""Work of many requests done together, in turns: a batch goes as soon as a thread is free, and is bounded in time.

Who takes turns are clients, and within a client its requests, by what their work costs (weighted fair queueing): a
request that asks for little goes before the rest of one that asks for much, and nobody waits behind more than one batch
of another client.
"""

import contextlib
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from innerloop.core.threads import stay_on_one_core
from innerloop.service.http.errors import HTTPError
from innerloop.service.stages import Elsewhere, together

CLIENT: ContextVar[str] = ContextVar("client", default="")
"""Whose request is being answered: an API key, or an address."""
Work = Callable[[list[Any]], Sequence[Any]]
"""Items in, as many results out, in their order; what an item gives does not depend on the others."""
_COST = 1e-3
_FORGETTING = 0.1
"""Share of a batch in what is known about the speed of its queue, where it was faster than expected."""


@dataclass(eq=False)
class _Job:
    client: str
    queue: Hashable
    items: list[Any]
    costs: Sequence[float]
    work: Work
    alone: bool
    number: int
    start: float
    """Virtual time of its client at which its next item begins."""
    noted: Elsewhere | None
    """Where its stages are noted; None: nobody listens."""
    taken: int = 0
    missing: int = 0
    results: list[Any] = field(default_factory=list)
    future: "Future[list[Any]]" = field(default_factory=Future)

    @property
    def cost(self) -> float:
        return self.costs[self.taken]

    @property
    def order(self) -> tuple[float, int]:
        return self.start + self.cost, self.number


class _Part(NamedTuple):
    job: _Job
    first: int
    end: int


@dataclass(eq=False)
class _Client:
    start: float
    """Virtual time of the server at which its next item begins."""
    now: float = 0.0
    """Virtual time of its requests: what each of them had of the work, were it shared out evenly."""
    waiting: int = 0
    jobs: dict[_Job, None] = field(default_factory=dict)
    """In the order in which they came; those with items that nobody took yet."""
    queues: dict[Hashable, list[tuple[tuple[float, int], _Job]]] = field(default_factory=dict)
    """The same as heaps, and jobs that were given up, which are skipped."""

    def head(self, queue: Hashable) -> _Job | None:
        """The job of a queue whose turn it is."""
        heap = self.queues.get(queue, [])
        while heap and heap[0][1] not in self.jobs:
            heapq.heappop(heap)
        if heap:
            return heap[0][1]
        self.queues.pop(queue, None)
        return None


class Batcher:
    """Threads that take what waits in turns.

    There is no waiting for a batch to fill: under light load an item goes alone and at once, under heavy load what
    arrived while the threads were busy goes together.

    Args:
        threads: How many, each using one core.
        waiting: Items that may wait. Of more, the newest of the client with the most are refused.
        largest: Items of one batch.
        seconds: Of one batch, of its core, by what its items cost and by what earlier ones of its queue took. One item
            always goes.
        seen: Is told the queue's name and the items of every batch.
    """

    def __init__(
        self,
        threads: int,
        waiting: int = 1024,
        largest: int = 32,
        seconds: float = 0.2,
        seen: Callable[[Hashable, int], None] = lambda queue, items: None,
    ):
        self.waiting, self.largest, self.seconds = waiting, largest, seconds
        self._seen = seen
        self._clients: dict[str, _Client] = {}
        self._now = 0.0
        self._pace: dict[Hashable, float] = {}
        """Seconds that work took for each second that it should have cost."""
        self._held: set[Hashable] = set()
        self._items = 0
        self._numbers = itertools.count()
        self._closed = False
        # Of a lock that a thread can take twice: refusing a job calls `_forget` while it is held.
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._serve, name=f"batch-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    @property
    def items(self) -> int:
        """How many wait now."""
        return self._items

    def submit(
        self,
        queue: Hashable,
        items: Sequence[Any],
        work: Work,
        alone: bool = False,
        costs: Sequence[float] | None = None,
        client: str | None = None,
        noted: Elsewhere | None = None,
    ) -> "Future[list[Any]]":
        """Have items worked on together with what else waits in the same queue.

        Args:
            queue: Items of one queue may be given to the `work` of any of them.
            items: At least one.
            work: What is done.
            alone: One thread at a time works on this queue: a second one would only wait for what the first one
                holds, with a part of the items in its hands.
            costs: Seconds that each should take; None: they are small, and alike.
            client: Whose they are; None: whoever's request this is.
            noted: Where stages are noted.

        Returns:
            All results, in their order. When it is cancelled, what was not begun is not done.

        Raises:
            HTTPError: Too many wait already (503).
        """
        name = CLIENT.get() if client is None else client
        items = list(items)
        with self._changed:
            if self._closed:
                raise _stopping()
            self._make_room(name, len(items))
            # It begins now: time in which a client asked nothing is no credit that it may spend at once.
            client_ = self._clients.setdefault(name, _Client(self._now))
            costs, number = costs or [_COST] * len(items), next(self._numbers)
            job = _Job(name, queue, items, costs, work, alone, number, client_.now, noted)
            job.missing, job.results = len(items), [None] * len(items)
            client_.jobs[job] = None
            client_.waiting += len(items)
            self._items += len(items)
            heapq.heappush(client_.queues.setdefault(queue, []), (job.order, job))
            self._changed.notify()
        job.future.add_done_callback(lambda _: self._forget(job))
        return job.future

    def close(self, finish: bool = True) -> None:
        """Stop the threads, after what waits is done, or with what waits refused."""
        with self._changed:
            self._closed = True
            # A list first: refusing takes jobs out of what is looked through.
            for job in [] if finish else [job for client in self._clients.values() for job in client.jobs]:
                self._refuse(job, _stopping())
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _make_room(self, name: str, count: int) -> None:
        own = self._clients[name].waiting if name in self._clients else 0
        # One request that is larger than the bound may still go when nothing else waits.
        while self._items and self._items + count > self.waiting:
            greatest = max(self._clients.values(), key=lambda client: client.waiting)
            if greatest.waiting <= own + count:
                raise _full(self._items)
            # Its newest: what has waited longest is the last to be lost.
            self._refuse(next(reversed(greatest.jobs)), _full(self._items))

    def _refuse(self, job: _Job, error: HTTPError) -> None:
        _fail(job, error)
        self._forget(job)

    def _forget(self, job: _Job) -> None:
        """Leave out what was not begun of a request that was answered, refused or given up."""
        with self._changed:
            client = self._clients.get(job.client)
            if client is not None and job in client.jobs:
                self._leave(client, job, len(job.items) - job.taken)

    def _leave(self, client: _Client, job: _Job, items: int) -> None:
        client.waiting -= items
        self._items -= items
        del client.jobs[job]
        # Forgotten at once: addresses come without end, and each is a client.
        if not client.jobs:
            del self._clients[job.client]

    def _serve(self) -> None:
        stay_on_one_core()
        while (parts := self._take()) is not None:
            job = parts[0].job
            self._seen(job.queue, sum(part.end - part.first for part in parts))
            # Of the processor: where others have it meanwhile, smaller batches would be no sooner done, and cost more.
            began = time.thread_time()
            self._run(parts)
            took = time.thread_time() - began
            cost = sum(sum(part.job.costs[part.first : part.end]) for part in parts)
            with self._changed:
                known = self._pace.get(job.queue, 1.0)
                # Slower at once, faster little by little: a batch that is too long keeps everyone waiting.
                self._pace[job.queue] = max(took / cost, known + _FORGETTING * (took / cost - known))
                if job.alone:
                    self._held.discard(job.queue)
                    self._changed.notify_all()

    def _take(self) -> list[_Part] | None:
        with self._changed:
            while (first := self._next()) is None:
                if self._closed and not self._clients:
                    return None
                self._changed.wait()
            parts = self._batch(first.queue)
            if first.alone:
                self._held.add(first.queue)
            # `submit` wakes one thread for all its items: who takes some wakes another for the rest.
            if self._clients:
                self._changed.notify()
            return parts

    def _next(self) -> _Job | None:
        """The job whose turn it is, of all that may be worked on."""
        turns = []
        for client in self._clients.values():
            heads = [client.head(queue) for queue in list(client.queues) if queue not in self._held]
            head = min((job for job in heads if job is not None), key=lambda job: job.order, default=None)
            if head is not None:
                turns.append((client.start + head.cost, head.number, head))
        return min(turns)[2] if turns else None

    def _batch(self, queue: Hashable) -> list[_Part]:
        """What goes together: item by item from whoever's turn it is, as long as there is time."""
        left, room = self.seconds / self._pace.get(queue, 1.0), self.largest
        taken: dict[_Job, tuple[int, int]] = {}
        turns = [
            (client.start + head.cost, head.number, client)
            for client in self._clients.values()
            if (head := client.head(queue)) is not None
        ]
        heapq.heapify(turns)
        while turns and room:
            client = heapq.heappop(turns)[2]
            job = client.head(queue)
            if job is None or (taken and job.cost > left):
                continue  # another one's next item may be small enough
            left, room = left - job.cost, room - 1
            taken[job] = (taken.get(job, (job.taken, 0))[0], job.taken + 1)
            self._charge(client, job)
            if (head := client.head(queue)) is not None:
                heapq.heappush(turns, (client.start + head.cost, head.number, client))
        return [_Part(job, *ends) for job, ends in taken.items()]

    def _charge(self, client: _Client, job: _Job) -> None:
        """Take the next item of a job, which is the head of its queue."""
        cost = job.cost
        if job.noted is not None and not job.taken:
            job.noted.begun()
        client.now += cost / len(client.jobs)
        self._now += cost / len(self._clients)
        client.start += cost
        job.start += cost
        job.taken += 1
        heap = client.queues[job.queue]
        if job.taken < len(job.items):
            client.waiting -= 1
            self._items -= 1
            heapq.heapreplace(heap, (job.order, job))
        else:
            heapq.heappop(heap)
            self._leave(client, job, 1)

    def _run(self, parts: list[_Part]) -> None:
        items = [item for part in parts for item in part.job.items[part.first : part.end]]
        try:
            with together([part.job.noted for part in parts], len(items), parts[0].job.queue):
                results = list(parts[0].job.work(items))
            if len(results) != len(items):
                raise RuntimeError(f"{len(items)} items gave {len(results)} results")
        # Whatever it is, it is told to who asked: a thread that ended of it would be missed by all.
        except BaseException as error:
            if len(parts) == 1:
                _fail(parts[0].job, error)
                return
            for part in parts:  # one bad item spoils only the request that it came with
                self._run([part])
            return
        for job, first, end in parts:
            job.results[first:end] = results[: end - first]
            del results[: end - first]
            with self._changed:
                job.missing -= end - first
            # Outside of the lock: whoever waits is called back from here.
            if not job.missing:
                with contextlib.suppress(InvalidStateError):  # it was given up meanwhile
                    job.future.set_result(job.results)


def _fail(job: _Job, error: BaseException) -> None:
    with contextlib.suppress(InvalidStateError):
        job.future.set_exception(error)


def _full(items: int) -> HTTPError:
    return HTTPError(503, f"{items:,} examples are waiting already: try again in a second", retry=1)


def _stopping() -> HTTPError:
    return HTTPError(503, "the server is stopping: try again", retry=2)
