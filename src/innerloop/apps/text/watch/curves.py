"""Which labels of a watch are drawn, and the points of their curves, for a file's page and for the service's."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from innerloop.apps.text.watch.summary import Standing, ordered
from innerloop.apps.text.watch.watch import Watch
from innerloop.core.interval import Share

WINDOWS = 500
"""Last windows that are drawn."""
_CURVES = 12
"""Labels and pairs that are drawn, those that alerted first."""

History = Sequence[tuple[int, list[int], dict[str, Any]]]
"""As of `State.history`."""


class Point(NamedTuple):
    """A window."""

    time: float
    """Seconds since 1970."""
    share: float
    low: float
    high: float
    """Ends of the share's interval."""
    adjusted: float | None
    charts: tuple[float, ...]
    """Values over their limits; none in the warm-up."""


def drawn(standings: Sequence[Standing], alerts: Sequence[dict[str, Any]]) -> list[int]:
    """Places of what is drawn: what alerted last, then what is nearest to it."""
    places = {tuple(one.series.labels.items()): i for i, one in enumerate(standings)}
    rose = [places[tuple(alert["labels"].items())] for alert in reversed(alerts) if alert["what"] == "rise"]
    rest = [places[tuple(one.series.labels.items())] for one in ordered(standings)]
    return list(dict.fromkeys([*rose, *rest]))[:_CURVES]


def points(watch: Watch, history: History, one: Standing, place: int) -> list[Point]:
    """The curve of a label, or a pair, in the order of time."""
    found = []
    limits = [limit for _, limit in one.charts.values()]
    for start, counts, judged in history:
        share = Share(watch.board.counted(counts)[place], sum(counts))
        values = judged["values"][place] if judged["values"] else []
        charts = tuple(value / limit for value, limit in zip(values, limits, strict=True)) if values else ()
        found.append(Point(start / 1000, share.value, *share.ends, judged["adjusted"][place], charts))
    return sorted(found, key=lambda point: point.time)
