"""How a watch stands: shares, trends and charts of all that is watched, and what was passed over."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from innerloop.apps.text.watch.board import Series
from innerloop.apps.text.watch.events import iso
from innerloop.apps.text.watch.state import State
from innerloop.apps.text.watch.watch import ABOUT, Watch
from innerloop.core.interval import Share

RECENT = 6
"""Closed windows that shares of now are about."""
UP, DOWN, LEVEL = "up", "down", "level"


class Standing(NamedTuple):
    """One label, or a pair."""

    series: Series
    share: Share
    """Its share of answers in the last windows."""
    adjusted: float | None
    """Its share in them, with the classifiers' errors taken out; None: nothing is known of these."""
    ends: tuple[float, float] | None
    """95% interval of it."""
    usual: Share
    """Its share of answers in the warm-up."""
    trend: str | None
    """up or down, where the intervals of now and of before lie apart; None: before is not known yet."""
    charts: dict[str, tuple[float, float]]
    """Value and limit."""
    alerting: bool

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "labels": self.series.labels,
            "share": self.share.to_json(),
            "adjusted": self.adjusted,
            "adjusted_ends": self.ends,
            "usual": self.usual.to_json(),
            "trend": self.trend,
            "charts": self.charts,
            "alerting": self.alerting,
        }


class Summary(NamedTuple):
    """All of it."""

    standings: list[Standing]
    tally: dict[str, int]
    """What came, by kind."""
    clock: str | None
    """The time of the stream."""
    waiting: int
    """Events at the end whose time is not believed yet."""
    closed: int
    open: int
    warming: int
    """Windows until anything may alert."""
    alerts: int
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return self._asdict() | {"standings": [one.to_json() for one in self.standings]}


def summary(watch: Watch, state: State) -> Summary:
    """How it stands by the windows that are closed."""
    board, settings = watch.board, watch.settings
    counts = recent(state, board.cells)
    known = sum(counts) > 0
    adjusted = board.adjusted(counts) if known else [None] * len(board.series)
    ends = board.ends(counts) if known else [None] * len(board.series)
    size, standings = sum(counts), []
    for i, (series, count, usual) in enumerate(zip(board.series, board.counted(counts), board.usual, strict=True)):
        charts = [] if board.warming else board.charts[i]
        share = Share(count, size)
        standings.append(
            Standing(
                series=series,
                share=share,
                adjusted=adjusted[i],
                ends=ends[i],
                usual=usual,
                trend=None if board.warming else _trend(share, usual),
                charts={one.design.kind: (one.value, one.design.limit) for one in charts},
                alerting=any(one.on for one in charts),
            )
        )
    return Summary(
        standings=standings,
        tally=dict(watch.tally),
        clock=None if watch.clock.now is None else iso(watch.clock.now),
        waiting=len(watch.clock.waiting),
        closed=watch.closed,
        open=len(watch.windows),
        warming=settings.warmup - len(board.warm) if board.warming else 0,
        alerts=state.connection.execute("SELECT count(*) FROM alerts").fetchone()[0],
        notes=notes(watch),
    )


def recent(state: State, cells: int) -> list[int]:
    """[cells] counts of the last windows together."""
    last = [counts for _, counts, _ in state.history(RECENT)]
    return np.sum(last, axis=0).tolist() if last else [0] * cells


def notes(watch: Watch) -> list[str]:
    """What was passed over, and what is not known, in words."""
    said = [f"{count:,} {ABOUT[kind]}" for kind, count in sorted(watch.tally.items()) if kind in ABOUT]
    if watch.clock.moved:
        said.append(f"the time of the stream jumped {watch.clock.moved:,} times by more than {watch.settings.jump}")
    if watch.clock.waiting:
        said.append(f"{len(watch.clock.waiting)} events wait until others come near their time")
    return said + unknown(watch)


def unknown(watch: Watch) -> list[str]:
    """Tasks whose errors are not known."""
    return [
        f"{subject.name} has too few examples to hold some out: its shares are as they were answered"
        for subject in watch.subjects
        if subject.confusion is None
    ]


def _trend(share: Share, usual: Share) -> str:
    low, high = share.ends
    return UP if low > usual.ends[1] else DOWN if high < usual.ends[0] else LEVEL


def ordered(standings: Sequence[Standing]) -> list[Standing]:
    """Those that alert first, then by how far their charts have come."""

    def risen(one: Standing) -> float:
        return max((value / limit for value, limit in one.charts.values()), default=0.0)

    return sorted(standings, key=lambda one: (not one.alerting, -risen(one)))
