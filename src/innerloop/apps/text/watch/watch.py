"""A stream that is watched: lines in, counts by window and label, alerts where a share rises."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from innerloop.apps.text.watch import events
from innerloop.apps.text.watch.board import Board, Change
from innerloop.apps.text.watch.clock import Clock
from innerloop.apps.text.watch.events import Event, iso
from innerloop.apps.text.watch.ids import OTHER, TWICE, Ids
from innerloop.apps.text.watch.schedule import Schedule
from innerloop.apps.text.watch.settings import Settings
from innerloop.apps.text.watch.state import State
from innerloop.apps.text.watch.tasks import Labels
from innerloop.apps.text.watch.windows import SENTENCES, Window, span
from innerloop.core.interval import Share

TAKEN, LATE, ASTRAY = "events", "late", "astray"
ABOUT = {
    LATE: "events that came after their window was closed (--late)",
    ASTRAY: "events whose time is further from the others' than --jump",
    TWICE: "events that came before, by id and text",
    OTHER: "events with the id of another text, which stays the one that counts",
} | events.ABOUT
_DIGITS = 6
_SHOWN = 80
"""Characters of a line that is no event."""
_BACK = 12
"""Windows that the sentences of an alert come from, at most."""


def _silent(message: str) -> None:
    """Tell nobody."""


class Watch:
    """Takes lines in their order; what it becomes depends on them alone, not on how they are cut into batches."""

    def __init__(self, labels: Labels, settings: Settings, state: State, tell: Callable[[str], None] = _silent):
        """Go on from where a state is.

        Args:
            labels: What says what texts are about.
            settings: How it is watched.
            state: Where everything is kept.
            tell: Called with what is to be known, once each.
        """
        self.subjects, self.settings = labels.subjects, settings
        self._labels, self._state, self._tell = labels, state, tell
        self.board = Board(labels.subjects, settings)
        self.tally: Counter[str] = Counter(state.get("tally") or {})
        self.closed: int = state.get("closed") or 0
        """Windows that are over."""
        self._first: list[str] = []
        """What is to be told, once what was counted is kept."""
        kept = state.get("clock")
        late, far = settings.lateness, settings.far
        self.clock = Clock(late=late, jump=far) if kept is None else Clock.from_json(kept, late, far)
        if (kept := state.get("board")) is not None:
            self.board.restore(kept)
        self.windows: dict[int, Window] = state.open_windows()
        """Those that take events."""

    def take(self, lines: Sequence[bytes], position: Any = None) -> None:
        """Take lines, and keep all that they change, with the place in the input behind them.

        Raises:
            FailedError: It cannot be kept; nothing was, then.
        """
        parsed = self._parsed(lines)
        ids, schedule = Ids(self._state, parsed, self.settings.memory), self._schedule()
        for event in parsed:
            if (kind := ids.came_before(event, self.clock.now)) is not None:
                self._note(kind, f"id {event.id}")
                continue
            before = self.clock.now
            schedule.add(event)
            if before is not None and self.clock.now is not None and self.clock.now < before:
                ids.set_back(before)
        self._carry_out(schedule, ids, position)

    def finish(self) -> None:
        """Close all windows, as if nothing came any more."""
        schedule = self._schedule()
        schedule.end()
        self._carry_out(schedule, Ids(self._state, [], self.settings.memory), self._state.get("position"))

    def _schedule(self) -> Schedule:
        return Schedule(self.clock, self.settings.length, set(self.windows), self._state.is_closed)

    def _parsed(self, lines: Sequence[bytes]) -> list[Event]:
        """The events of lines; what is none is counted."""
        parsed = []
        for line in lines:
            if not line.strip():
                continue
            self.tally["lines"] += 1
            try:
                parsed.append(events.parse(line))
            except events.Unusable as unusable:
                self._note(str(unusable), line[:_SHOWN].decode("utf-8", "replace"))
        return parsed

    def _carry_out(self, schedule: Schedule, ids: Ids, position: Any) -> None:
        for event in schedule.late:
            self._note(LATE, iso(event.time))
        for event in schedule.astray:
            self._note(ASTRAY, iso(event.time))
        taken = [step.event for step in schedule.steps if step.event is not None]
        # Before the transaction: what sends alerts is to write meanwhile.
        cells = iter(self._cells([event.text for event in taken]))
        touched: set[int] = set()
        with self._state.change():
            ids.keep(self.clock.now)
            for start, event in schedule.steps:
                if event is None:
                    self._close(self.windows.pop(start))
                    touched.discard(start)
                    continue
                if start not in self.windows:
                    self.windows[start] = Window(start=start, counts=[0] * self.board.cells)
                self.windows[start].take(event, next(cells))
                touched.add(start)
            self.tally[TAKEN] += len(taken)
            self._state.keep([self.windows[start] for start in sorted(touched)])
            if any(event is None for _, event in schedule.steps):
                self._state.put("board", self.board.to_json())
                self._state.put("closed", self.closed)
            for key, value in (("position", position), ("tally", self.tally), ("clock", self.clock.to_json())):
                self._state.put(key, value)
        self._say()

    def _cells(self, texts: list[str]) -> list[int]:
        if not texts:
            return []
        sizes = [len(subject.answers) for subject in self.subjects]
        return np.asarray(np.ravel_multi_index(tuple(self._labels(texts).T), sizes)).tolist()

    def _close(self, window: Window) -> None:
        self.closed += 1
        changes = self.board.close(window.start, window.counts)
        judged = {
            "adjusted": _rounded(self.board.adjusted(window.counts)),
            "values": [_rounded([chart.value for chart in some]) for some in self.board.charts],
        }
        self._state.shut(window, self.closed, judged)
        for change in changes:
            body = self._alert(change, window)
            self._state.add_alert(self._key(change, window), body)

    def _alert(self, change: Change, window: Window) -> dict[str, Any]:
        """What is said of a change."""
        series, chart = self.board.series[change.series], change.charts[0]
        share = Share(self.board.counted(window.counts)[change.series], window.size)
        adjusted, ends = (
            self.board.adjusted(window.counts)[change.series],
            self.board.ends(window.counts)[change.series],
        )
        return {
            "what": "rise" if change.began else "over",
            "labels": series.labels,
            "window": span(window.start, self.settings.length),
            "since": None if chart.rose is None else iso(chart.rose),
            "share": share.to_json(),
            "adjusted": _rounded([adjusted, *(ends or (None, None))]),
            "usual": self.board.usual[change.series].to_json(),
            "charts": {one.design.kind: _rounded([one.value, one.design.limit]) for one in change.charts},
            "sentences": self._sentences(series.cells, window, chart.rose) if change.began else [],
        }

    def _sentences(self, cells: frozenset[int], window: Window, since: int | None) -> list[dict[str, str | None]]:
        """Some of what a rise consists of: of the last window, and where it has too few, of those before."""
        found = {text: (id, source) for _, text, id, source in window.some(cells)}
        for earlier in self._state.closed_since(window.start if since is None else since, self.closed, _BACK):
            if len(found) >= SENTENCES:
                break
            for _, text, id, source in earlier.some(cells):
                found.setdefault(text, (id, source))
        return [{"text": text, "id": id, "source": source} for text, (id, source) in [*found.items()][:SENTENCES]]

    def _key(self, change: Change, window: Window) -> str:
        """The same for the same alert of the same watch, whoever sends it, and however often."""
        told = [self._state.get("record"), change.series, change.began, window.start, self.closed]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]

    def _note(self, kind: str, example: str) -> None:
        self.tally[kind] += 1
        if self.tally[kind] == 1:
            self._first.append(f"{ABOUT[kind]} are counted and passed over; the first: {example}")

    def _say(self) -> None:
        first, self._first = self._first, []
        for message in first:
            self._tell(message)


def _rounded(values: Sequence[float | None]) -> list[float | None]:
    return [None if value is None else round(value, _DIGITS) for value in values]
