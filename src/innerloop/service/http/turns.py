"""Requests of one client that use the event loop and its threads at once: its others wait for their turn."""

import asyncio
from contextvars import ContextVar
from weakref import WeakValueDictionary

from innerloop.service.stages import stage

_AT_ONCE = 16
"""Requests of one client: there are 40 threads, so that some are left for others."""


class Turn:
    """One request's. It begins when all that it needs has arrived, and ends when it only waits for a result."""

    def __init__(self, places: asyncio.Semaphore):
        self._places, self._held, self._over = places, False, False

    async def begin(self) -> None:
        """Wait for it; once is enough."""
        if not self._held and not self._over:
            with stage("turn"):
                await self._places.acquire()
            self._held = True

    def end(self) -> None:
        """Let another one have it."""
        if self._held:
            self._places.release()
        self._held, self._over = False, True


TURN: ContextVar[Turn | None] = ContextVar("turn", default=None)
"""The turn of the request that is being answered."""


class Turns:
    """Those of all clients of one worker."""

    def __init__(self) -> None:
        # Weak: addresses come without end, and a client's places go with the last of its turns.
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def of(self, client: str) -> Turn:
        """A new one for a request of a client, which others of it hold already or wait for."""
        turn = Turn(self._places.setdefault(client, asyncio.Semaphore(_AT_ONCE)))
        TURN.set(turn)
        return turn
