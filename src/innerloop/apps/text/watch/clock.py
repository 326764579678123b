"""The time that a stream has come to, by its own events; a time that is far off is not believed at once.

The clock is the latest time of an event, and the watermark lies a stated lateness behind it: windows that end before it
are closed. An event that lies further from the clock than `jump`, ahead or behind, would close all windows for ever if
its time is wrong, and would be ignored for ever if the clock is. So it waits, until `AGREE` events in a row lie within
`jump` of each other: then the clock moves to them, ahead or back. One event in between that fits the clock shows that
those which waited were astray: they are counted, and not used. The first events of a stream wait in the same way.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from innerloop.apps.text.watch.events import Event

AGREE = 10
"""Events in a row that move the clock by more than a jump."""


@dataclass(kw_only=True)
class Clock:
    """Where a stream is."""

    late: int
    """Milliseconds that the watermark is behind."""
    jump: int
    """Milliseconds by which one event may move the clock."""
    now: int | None = None
    """The latest time that is believed; None: not enough events yet."""
    waiting: list[Event] = field(default_factory=list)
    """Events in a row that lie far from the clock, and near each other."""
    moved: int = 0
    """How often the clock was moved by more than a jump."""

    @property
    def watermark(self) -> int | None:
        """No window that ends by then takes further events; None: it has not begun."""
        return None if self.now is None else self.now - self.late

    def admit(self, event: Event) -> tuple[list[Event], list[Event]]:
        """Events that are believed now, in the order in which they came, and those that were astray.

        The clock is moved by `advance`, event by event.
        """
        if self.now is not None and abs(event.time - self.now) <= self.jump:
            astray, self.waiting = self.waiting, []
            return [event], astray
        astray = []
        if self.waiting and abs(event.time - self.waiting[0].time) > self.jump:
            astray, self.waiting = self.waiting, []
        self.waiting.append(event)
        return (self.believe() if len(self.waiting) >= AGREE else []), astray

    def believe(self) -> list[Event]:
        """Move the clock to the events that wait, and give them out."""
        agreed, self.waiting = self.waiting, []
        if agreed:
            self.moved += self.now is not None
            self.now = agreed[0].time
        return agreed

    def advance(self, event: Event) -> None:
        """Move the clock on to an event that is believed."""
        self.now = event.time if self.now is None else max(self.now, event.time)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {"now": self.now, "moved": self.moved, "waiting": [*map(asdict, self.waiting)]}

    @classmethod
    def from_json(cls, kept: dict[str, Any], late: int, jump: int) -> "Clock":
        """The clock that was kept."""
        waiting = [Event(**entry) for entry in kept["waiting"]]
        return cls(late=late, jump=jump, now=kept["now"], moved=kept["moved"], waiting=waiting)
