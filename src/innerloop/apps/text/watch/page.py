"""The page of a watch: what `report` draws, from what the state holds."""

from pathlib import Path
from typing import Any

from innerloop.apps.text.watch.state import State
from innerloop.apps.text.watch.summary import Standing, Summary, ordered, summary
from innerloop.apps.text.watch.watch import Watch
from innerloop.core.interval import Share
from innerloop.report.watched import Curve, Point, Row, write_watched

_WINDOWS = 500
"""Last windows that are drawn."""
_CURVES = 12
"""Labels and pairs that are drawn, those that alerted first."""
_ALERTS = 100


def write(file: str | Path, watch: Watch, state: State, command: str | None = None) -> Path:
    """Write the page of a watch; what is there is replaced.

    Raises:
        InputError: It cannot be written.
    """
    stands, alerts = summary(watch, state), state.alerts(_ALERTS)
    places = {tuple(one.series.labels.items()): i for i, one in enumerate(stands.standings)}
    rose = [places[tuple(alert["labels"].items())] for alert in reversed(alerts) if alert["what"] == "rise"]
    rest = [places[tuple(one.series.labels.items())] for one in ordered(stands.standings)]
    drawn = list(dict.fromkeys([*rose, *rest]))[:_CURVES]
    history = state.history(_WINDOWS)
    return write_watched(
        file,
        title=" and ".join(subject.name for subject in watch.subjects),
        about=_about(stands, watch),
        rows=[_row(one) for one in ordered(stands.standings)],
        curves=[_curve(watch, history, stands.standings[i], i) for i in drawn],
        alerts=[alert for alert in reversed(alerts) if alert["what"] == "rise"],
        notes=stands.notes,
        settings=watch.settings.to_json() | {"charts": " and ".join(watch.settings.charts)},
        command=command,
    )


def _about(stands: Summary, watch: Watch) -> str:
    until = "nothing yet" if stands.clock is None else f"until {stands.clock}"
    events, length = stands.tally.get("events", 0), watch.settings.window
    said = f"{events:,} events {until}, {stands.closed:,} closed windows of {length}"
    return said + (f"; usual shares are learned for {stands.warming} more" if stands.warming else "")


def _row(one: Standing) -> Row:
    return Row(
        name=str(one.series),
        share=one.share,
        adjusted=one.adjusted,
        ends=one.ends,
        usual=one.usual,
        trend=one.trend,
        charts=one.charts,
        alerting=one.alerting,
    )


def _curve(watch: Watch, history: list[tuple[int, list[int], dict[str, Any]]], one: Standing, i: int) -> Curve:
    points = []
    for start, counts, judged in history:
        share = Share(watch.board.counted(counts)[i], sum(counts))
        values = judged["values"][i] if judged["values"] else []
        limits = [limit for _, limit in one.charts.values()]
        points.append(
            Point(
                time=start / 1000,
                share=share.value,
                low=share.ends[0],
                high=share.ends[1],
                adjusted=judged["adjusted"][i],
                charts=tuple(value / limit for value, limit in zip(values, limits, strict=True)) if values else (),
            )
        )
    points.sort(key=lambda point: point.time)
    return Curve(name=str(one.series), usual=one.usual.value, kinds=tuple(one.charts), points=points)
