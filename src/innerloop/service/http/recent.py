"""Predictions that feedback may refer to: in memory, and for several workers or hosts, where they share them."""

import contextlib
import queue
import threading
import time
from typing import NamedTuple, Protocol

import numpy as np

from innerloop.fewshot.history import Label
from innerloop.service.http.adapted import Raw
from innerloop.service.http.cache import Cache, ticket
from innerloop.service.limits import Limits
from innerloop.service.store.errors import BusyError

_MOST = 256
"""Predictions that are written at once."""
_MOMENT = 0.05
"""Seconds in which they come together."""
_PATIENCE = 10.0
"""Seconds until what waits is written."""


class Asked(NamedTuple):
    """What was asked in a prediction."""

    task: int
    row: np.ndarray
    raw: Raw
    answer: Label | None
    """The class that was answered; None: none of these."""

    @property
    def weight(self) -> int:
        """Bytes it takes."""
        value = self.raw.value
        return self.row.nbytes + 500 + (len(value) if isinstance(value, bytes | str) else 0)


class Shelf(Protocol):
    """Where predictions lie that several workers share."""

    def write(self, waiting: list[tuple[str, Asked]]) -> None:
        """Keep some by their ids; where that cannot be now, feedback to these needs the worker that answered."""
        ...

    def find(self, id: str) -> Asked | None:
        """One that is there."""
        ...

    def erase(self, task: int) -> bool:
        """Forget what was asked of a task; whether it is done."""
        ...

    def close(self) -> None:
        """Let it go."""
        ...


class Recent:
    """The last predictions; older ones are forgotten.

    Args:
        limits: How many, and of how many bytes together.
        shelves: Where else they are looked for.
        written: That of these which new ones are written to; None: memory is enough.
    """

    def __init__(self, limits: Limits, *shelves: Shelf, written: Shelf | None = None):
        self._kept: Cache[Asked] = Cache(limits.recent, limits.recent_mb * 1e6, lambda asked: asked.weight)
        self._shelves, self._written = shelves, written
        # Ids, of what is in memory, which is bounded in bytes: where writing is slow, old ones are never written.
        self._queue: queue.Queue[str | threading.Event | None] = queue.Queue(limits.recent)
        self._thread = None
        if written is not None:
            self._thread = threading.Thread(target=self._write, args=(written,), name="recent", daemon=True)
            self._thread.start()

    def put(self, asked: Asked) -> str:
        """Keep one, and give it a name that nobody guesses."""
        id = ticket()
        self._kept.put(id, asked)
        if self._thread is not None:
            # An answer does not wait for the shelf: feedback to what is left out needs the worker that answered.
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait(id)
        return id

    def find(self, id: str, task: int) -> Asked | None:
        """What was asked, if it is remembered and was asked of this task."""
        asked = self._kept.find(id)
        for shelf in self._shelves:
            asked = asked or shelf.find(id)
        # One of another task is as good as none: the key may not be for that one.
        return asked if asked is not None and asked.task == task else None

    def erase(self, task: int) -> None:
        """Forget what was asked of a task, in memory and on every shelf.

        Raises:
            BusyError: One is in use: it is to be done again.
        """
        self._kept.forget(lambda id, asked: asked.task == task)
        # What waits is written first: afterwards it would be there again.
        done = [self._settled(), *(shelf.erase(task) for shelf in self._shelves)]
        if not all(done):
            raise BusyError("what was asked of the task cannot be erased now, as it is in use: try again")

    def close(self) -> None:
        """Stop writing."""
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=1)
            self._thread.join(timeout=5)

    def _settled(self) -> bool:
        """Whether all that waited was written, or given up."""
        if self._thread is None:
            return True
        written = threading.Event()
        with contextlib.suppress(queue.Full):
            self._queue.put(written, timeout=_PATIENCE)
            return written.wait(_PATIENCE)
        return False

    def _write(self, shelf: Shelf) -> None:
        ended = False
        while not ended:
            gathered = self._gather()
            ids = [id for id in gathered if isinstance(id, str)]
            waiting = [(id, asked) for id in ids if (asked := self._kept.find(id)) is not None]
            ended = gathered[-1] is None
            if waiting:
                shelf.write(waiting)
            for written in gathered:
                if isinstance(written, threading.Event):
                    written.set()
        shelf.close()

    def _gather(self) -> list[str | threading.Event | None]:
        """What waits, a moment after the first came; None stands at the end of everything."""
        waiting = [self._queue.get()]
        if isinstance(waiting[0], str):
            time.sleep(_MOMENT)
        with contextlib.suppress(queue.Empty):
            while waiting[-1] is not None and len(waiting) < _MOST:
                waiting.append(self._queue.get_nowait())
        return waiting
