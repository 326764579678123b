"""What waits to be worked on in turns: requests, whose they are, and the batches that are made of them."""

import heapq
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from innerloop.service.stages import Elsewhere

Work = Callable[[list[Any]], Sequence[Any]]
"""Items in, as many results out, in their order; what an item gives does not depend on the others."""
_LONG = 0.01
"""Seconds beyond which an item is long."""


@dataclass(eq=False)
class Job:
    """The items of one request."""

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
    places: Sequence[int]
    """Places of the items in the request: here they stand by cost, so that those go together that cost alike."""
    taken: int = 0
    missing: int = 0
    results: list[Any] = field(default_factory=list)
    future: "Future[list[Any]]" = field(default_factory=Future)

    @property
    def cost(self) -> float:
        """Seconds that its next item should take."""
        return self.costs[self.taken]

    @property
    def long(self) -> bool:
        """Whether its next item is for threads that give way to all others."""
        return self.cost > _LONG

    @property
    def order(self) -> tuple[float, int]:
        """When its turn is among the jobs of its client."""
        return self.start + self.cost, self.number


class Part(NamedTuple):
    """Items of a job that are in a batch."""

    job: Job
    first: int
    end: int


@dataclass(frozen=True, eq=False)
class Batch:
    """Items that a thread works on together."""

    queue: Hashable
    parts: list[Part]
    items: int
    cost: float
    least: float
    """What its cheapest item costs."""


@dataclass(eq=False)
class Client:
    """Whoever has items that wait."""

    start: float
    """Virtual time of the server at which its next item begins."""
    now: float = 0.0
    """Virtual time of its requests: what each of them had of the work, were it shared out evenly."""
    waiting: int = 0
    jobs: dict[Job, None] = field(default_factory=dict)
    """In the order in which they came; those with items that nobody took yet."""
    queues: dict[Hashable, list[tuple[tuple[float, int], Job]]] = field(default_factory=dict)
    """The same as heaps, and jobs that were given up, which are skipped."""

    def head(self, queue: Hashable) -> Job | None:
        """The job of a queue whose turn it is."""
        heap = self.queues.get(queue, [])
        while heap and heap[0][1] not in self.jobs:
            heapq.heappop(heap)
        if heap:
            return heap[0][1]
        self.queues.pop(queue, None)
        return None
