"""What a batch of events does to windows, before anybody knows what the events are about."""

from collections.abc import Callable
from typing import NamedTuple

from innerloop.apps.text.watch.clock import Clock
from innerloop.apps.text.watch.events import Event


class Step(NamedTuple):
    """An event that comes into a window, or a window that is over."""

    start: int
    """Where the window begins."""
    event: Event | None
    """None: the window is closed."""


class Schedule:
    """Steps in their order. Whether a window takes an event depends on the events before, not on batches."""

    def __init__(self, clock: Clock, length: int, open: set[int], is_closed: Callable[[int], bool]):
        """Begin without a step.

        Args:
            clock: It is moved on.
            length: Milliseconds of a window.
            open: Windows that take events, by their starts; it is changed.
            is_closed: Whether a window that is not open was closed before this batch.
        """
        self._clock, self._length, self._open, self._is_closed = clock, length, open, is_closed
        self._shut: set[int] = set()
        self.steps: list[Step] = []
        self.late: list[Event] = []
        """Events whose window is over."""
        self.astray: list[Event] = []
        """Events whose time was not believed."""

    def add(self, event: Event) -> None:
        """Take the next event of the stream."""
        moved = self._clock.moved
        believed, astray = self._clock.admit(event)
        self.astray += astray
        if self._clock.moved != moved:  # nothing comes any more from the time that windows are open for
            self._close(self._open)
        for one in believed:
            self._place(one)

    def end(self) -> None:
        """Believe what waits, and close all windows."""
        moved = self._clock.moved
        believed = self._clock.believe()
        if self._clock.moved != moved:
            self._close(self._open)
        for one in believed:
            self._place(one)
        self._close(self._open)

    def _place(self, event: Event) -> None:
        self._clock.advance(event)
        watermark, start = self._clock.watermark, event.time // self._length * self._length
        assert watermark is not None
        if self._open and min(self._open) + self._length <= watermark:
            self._close({one for one in self._open if one + self._length <= watermark})
        if start not in self._open:
            # A clock that was set back comes to windows again that were closed.
            if start + self._length <= watermark or start in self._shut or self._is_closed(start):
                self.late.append(event)
                return
            self._open.add(start)
        self.steps.append(Step(start, event))

    def _close(self, starts: set[int]) -> None:
        for start in sorted(starts):
            self.steps.append(Step(start, None))
            self._open.discard(start)
            self._shut.add(start)
