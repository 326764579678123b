"""Work of many requests done together, in turns: a batch goes as soon as a thread is free, and is bounded in time.

Who takes turns are clients, and within a client its requests, by what their work costs (weighted fair queueing): a
request that asks for little goes before the rest of one that asks for much, and nobody waits behind more than one batch
of another client.

Nor behind that one, if it asks for much less: items go together with such as cost alike, and while every thread is at
items that cost much more, one thread further does it beside them. Long items are for threads that the system lets wait
for the others.
"""

import contextlib
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextvars import ContextVar
from typing import Any

from innerloop.core.threads import give_way, stay_on_one_core
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.jobs import Batch, Client, Job, Part, Work
from innerloop.service.stages import Elsewhere, together

CLIENT: ContextVar[str] = ContextVar("client", default="")
"""Whose request is being answered: an API key, or an address."""
_COST = 1e-3
_MUCH = 4.0
"""Times that an item costs more than another: they do not go together, and the cheaper one waits for no end of the
dearer one."""
_FORGETTING = 0.1
"""Share of a batch in what is known about the speed of its queue, where it was faster than expected."""


class Batcher:
    """Threads that take what waits in turns.

    There is no waiting for a batch to fill: under light load an item goes alone and at once, under heavy load what
    arrived while the threads were busy goes together.

    Args:
        threads: How many work at once, each using one core; one more where an item costs much less than all that these
            are at.
        waiting: Items that may wait. Of more, the newest of the client with the most are refused.
        largest: Items of one batch.
        seconds: Of one batch, of its core, by what its items cost and by what earlier ones of its queue took. One item
            always goes; none goes with one that costs much less.
        seen: Is told the queue's name and the items of every batch.
    """

    def __init__(
        self,
        threads: int,
        waiting: int = 1024,
        largest: int = 32,
        seconds: float = 0.05,
        seen: Callable[[Hashable, int], None] = lambda queue, items: None,
    ):
        self.waiting, self.largest, self.seconds = waiting, largest, seconds
        self._seen = seen
        self._clients: dict[str, Client] = {}
        self._now = 0.0
        self._pace: dict[Hashable, float] = {}
        """Seconds that work took for each second that it should have cost."""
        self._running: list[Batch] = []
        self._most = threads
        self._items = 0
        self._numbers = itertools.count()
        self._closed = False
        # A thread can take it twice: refusing a job calls `_forget` while it is held.
        self._lock = threading.RLock()
        self._idle: dict[bool, list[threading.Condition]] = {False: [], True: []}
        """Threads for items that are long, and those for all others; who waited last goes first, and is still warm."""
        # Of each kind as many as may ever be at work.
        self._threads = [
            threading.Thread(target=self._serve, args=(long,), name=f"batch-{i}", daemon=True)
            for i, long in enumerate((False, True) * (threads + 1))
        ]
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
            alone: One thread at a time works on this queue, but for items that cost much less than what it is at: a
                second one would only wait for what the first one holds, with a part of the items in its hands.
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
        with self._lock:
            if self._closed:
                raise _stopping()
            self._make_room(name, len(items))
            # It begins now: time in which a client asked nothing is no credit that it may spend at once.
            client_ = self._clients.setdefault(name, Client(self._now))
            costs, number = costs or [_COST] * len(items), next(self._numbers)
            places = sorted(range(len(items)), key=costs.__getitem__)
            items, costs = [items[i] for i in places], [costs[i] for i in places]
            job = Job(name, queue, items, costs, work, alone, number, client_.now, noted, places)
            job.missing, job.results = len(items), [None] * len(items)
            client_.jobs[job] = None
            client_.waiting += len(items)
            self._items += len(items)
            heapq.heappush(client_.queues.setdefault(queue, []), (job.order, job))
            if self._may(job):  # to wake a thread for nothing costs everyone time
                self._wake(job.long)
        job.future.add_done_callback(lambda _: self._forget(job))
        return job.future

    def close(self, finish: bool = True) -> None:
        """Stop the threads, after what waits is done, or with what waits refused."""
        with self._lock:
            self._closed = True
            # A list first: refusing takes jobs out of what is looked through.
            for job in [] if finish else [job for client in self._clients.values() for job in client.jobs]:
                self._refuse(job, _stopping())
            self._wake_all()
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

    def _refuse(self, job: Job, error: HTTPError) -> None:
        _fail(job, error)
        self._forget(job)

    def _forget(self, job: Job) -> None:
        """Leave out what was not begun of a request that was answered, refused or given up."""
        with self._lock:
            client = self._clients.get(job.client)
            if client is not None and job in client.jobs:
                self._leave(client, job, len(job.items) - job.taken)

    def _leave(self, client: Client, job: Job, items: int) -> None:
        client.waiting -= items
        self._items -= items
        del client.jobs[job]
        # Forgotten at once: addresses come without end, and each is a client.
        if not client.jobs:
            del self._clients[job.client]

    def _serve(self, long: bool) -> None:
        stay_on_one_core()
        if long:
            give_way()
        changed = threading.Condition(self._lock)
        while (batch := self._take(long, changed)) is not None:
            self._seen(batch.queue, batch.items)
            # Of the processor: where others have it meanwhile, smaller batches would be no sooner done, and cost more.
            began = time.thread_time()
            self._run(batch.parts)
            pace = (time.thread_time() - began) / batch.cost
            with self._lock:
                known = self._pace.get(batch.queue, 1.0)
                # Slower at once, faster little by little: a batch that is too long keeps everyone waiting.
                self._pace[batch.queue] = max(pace, known + _FORGETTING * (pace - known))
                self._running.remove(batch)
                if self._closed:
                    self._wake_all()
                elif (first := self._next()) is not None and first.long != long:
                    self._wake(first.long)

    def _take(self, long: bool, changed: threading.Condition) -> Batch | None:
        with self._lock:
            while (first := self._next()) is None or first.long != long:
                if self._closed and not self._clients:
                    return None
                self._idle[long].append(changed)
                changed.wait()
            batch = self._batch(first)
            self._running.append(batch)
            # `submit` wakes one thread for all its items: who takes some wakes another for the rest.
            if (first := self._next()) is not None:
                self._wake(first.long)
            return batch

    def _wake(self, long: bool) -> None:
        if self._idle[long]:
            self._idle[long].pop().notify()

    def _wake_all(self) -> None:
        for long, idle in self._idle.items():
            for _ in tuple(idle):
                self._wake(long)

    def _may(self, job: Job) -> bool:
        """Whether a thread may begin with a job now: its turn has come, or it is much cheaper than all that runs."""
        rivals = self._running
        if len(rivals) > self._most:
            return False
        if len(rivals) < self._most:
            rivals = [batch for batch in rivals if job.alone and batch.queue == job.queue]
        return all(_MUCH * job.cost <= batch.least for batch in rivals)

    def _next(self) -> Job | None:
        """The job whose turn it is, of all that may be worked on."""
        turns = []
        for client in self._clients.values():
            heads = [client.head(queue) for queue in list(client.queues)]
            may = (job for job in heads if job is not None and self._may(job))
            head = min(may, key=lambda job: job.order, default=None)
            if head is not None:
                turns.append((client.start + head.cost, head.number, head))
        return min(turns)[2] if turns else None

    def _batch(self, first: Job) -> Batch:
        """What goes together: items that cost alike, one by one from whoever's turn it is, as long as there is time."""
        queue = first.queue
        left, room = self.seconds / self._pace.get(queue, 1.0), self.largest
        cost, least, most = 0.0, first.cost, first.cost
        taken: dict[Job, tuple[int, int]] = {}
        turns = [
            (client.start + head.cost, head.number, client)
            for client in self._clients.values()
            if (head := client.head(queue)) is not None
        ]
        heapq.heapify(turns)
        while turns and room:
            client = heapq.heappop(turns)[2]
            job = client.head(queue)
            if job is None or (taken and job.cost > left) or not self._may(job):
                continue  # another one's next item may be small enough
            if max(most, job.cost) >= _MUCH * min(least, job.cost):
                continue
            left, room, cost = left - job.cost, room - 1, cost + job.cost
            least, most = min(least, job.cost), max(most, job.cost)
            taken[job] = (taken.get(job, (job.taken, 0))[0], job.taken + 1)
            self._charge(client, job)
            if (head := client.head(queue)) is not None:
                heapq.heappush(turns, (client.start + head.cost, head.number, client))
        return Batch(queue, [Part(job, *ends) for job, ends in taken.items()], self.largest - room, cost, least)

    def _charge(self, client: Client, job: Job) -> None:
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

    def _run(self, parts: list[Part]) -> None:
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
            for place, result in zip(job.places[first:end], results, strict=False):
                job.results[place] = result
            del results[: end - first]
            with self._lock:
                job.missing -= end - first
            # Outside of the lock: whoever waits is called back from here.
            if not job.missing:
                with contextlib.suppress(InvalidStateError):  # it was given up meanwhile
                    job.future.set_result(job.results)


def _fail(job: Job, error: BaseException) -> None:
    with contextlib.suppress(InvalidStateError):
        job.future.set_exception(error)


def _full(items: int) -> HTTPError:
    return HTTPError(503, f"{items:,} examples are waiting already: try again in a second", retry=1)


def _stopping() -> HTTPError:
    return HTTPError(503, "the server is stopping: try again", retry=2)
