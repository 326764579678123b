"""Threads that wait for the store: some for what is read, others for what changes it, none that compute."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

from innerloop.service.http.errors import HTTPError
from innerloop.service.http.turns import TURN

T = TypeVar("T")
_READERS = 16


async def thread(work: Callable[..., T], *args: Any) -> T:
    """Have any thread do it."""
    return await to_thread.run_sync(functools.partial(work, *args))


class Threads:
    """So few changes wait that they keep neither each other nor those that only look.

    Args:
        changes: How many may be on their way; more are told to come back.
    """

    def __init__(self, changes: int):
        self._most, self._changes = changes, 0
        self._readers, self._writers = CapacityLimiter(_READERS), CapacityLimiter(changes)

    async def read(self, work: Callable[..., T], *args: Any) -> T:
        """Have a thread look something up."""
        return await to_thread.run_sync(functools.partial(work, *args), limiter=self._readers)

    async def change(self, work: Callable[..., T], *args: Any) -> T:
        """Have a thread change the store.

        Raises:
            HTTPError: Too many wait already (503).
        """
        if (turn := TURN.get()) is not None:
            turn.end()  # who waits for a store that somebody else holds goes on looking
        # Counted here, as a limiter lets any number wait.
        if self._changes >= self._most:
            raise HTTPError(503, f"{self._changes:,} changes wait for the store already: try again", retry=2)
        self._changes += 1
        try:
            return await to_thread.run_sync(functools.partial(work, *args), limiter=self._writers)
        finally:
            self._changes -= 1
