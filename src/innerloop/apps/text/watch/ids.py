"""Which events came before, by their ids, for as long as these are remembered.

An id is known while its event is no older than the memory, by the time of the stream at the very event that asks: what
is deleted from the disk, and when, changes nothing. Where the clock is set back, what it had forgotten stays so.
"""

from collections.abc import Sequence

from innerloop.apps.text.watch.events import Event
from innerloop.apps.text.watch.state import State

TWICE, OTHER = "duplicates", "other text under a known id"
_PARTS = 8
"""Times in the span of a memory that the disk is cleaned."""


class Ids:
    """Those of a batch, and of what came before it."""

    def __init__(self, state: State, events: Sequence[Event], memory: int):
        """Look up what is known of the events.

        Args:
            state: Where ids are kept.
            events: Of the batch.
            memory: Milliseconds.
        """
        self._state, self._memory = state, memory
        self._known = state.contents([_number(event.key) for event in events if event.key is not None])
        self._new: dict[int, tuple[int, int]] = {}
        self._below: int | None = None

    def came_before(self, event: Event, now: int | None) -> str | None:
        """Whether its id is known, of the same text or of another; else it is from now on.

        Args:
            event: The next of the stream.
            now: The time of the stream; None: it has not begun.
        """
        if event.key is None:
            return None
        number, content = _number(event.key), _number(event.content)
        known = self._known.get(number)
        if known is not None and (now is None or known[1] >= now - self._memory):
            return TWICE if known[0] == content else OTHER
        self._known[number] = self._new[number] = (content, event.time)
        return None

    def set_back(self, before: int) -> None:
        """Forget what was too old for a clock that is set back from a time."""
        below = before - self._memory
        self._known, self._new = (
            {number: entry for number, entry in some.items() if entry[1] >= below} for some in (self._known, self._new)
        )
        self._below = below if self._below is None else max(self._below, below)

    def keep(self, now: int | None) -> None:
        """Write it to the disk, and clean that now and then."""
        if self._below is not None:
            self._state.forget(self._below)
        self._state.remember([(number, *entry) for number, entry in self._new.items()])
        if now is None:
            return
        part = (now - self._memory) // max(1, self._memory // _PARTS)
        if part != self._state.get("cleaned"):
            self._state.forget(now - self._memory)
            self._state.put("cleaned", part)


def _number(digest: bytes) -> int:
    """The first 64 bits of a digest, as SQLite keeps them: two of a million ids are the same once in 40 million."""
    return int.from_bytes(digest[:8], "big", signed=True)
