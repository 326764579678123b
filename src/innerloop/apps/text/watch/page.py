"""The page of a watch: what `report` draws, from what the state holds."""

from pathlib import Path

from innerloop.apps.text.watch import curves
from innerloop.apps.text.watch.state import State
from innerloop.apps.text.watch.summary import Standing, Summary, ordered, summary
from innerloop.apps.text.watch.watch import Watch
from innerloop.report.watched import Curve, Point, Row, write_watched

_ALERTS = 100


def write(file: str | Path, watch: Watch, state: State, command: str | None = None) -> Path:
    """Write the page of a watch; what is there is replaced.

    Raises:
        InputError: It cannot be written.
    """
    stands, alerts = summary(watch, state), state.alerts(_ALERTS)
    history = state.history(curves.WINDOWS)
    return write_watched(
        file,
        title=" and ".join(subject.name for subject in watch.subjects),
        about=_about(stands, watch),
        rows=[_row(one) for one in ordered(stands.standings)],
        curves=[_curve(watch, history, stands.standings[i], i) for i in curves.drawn(stands.standings, alerts)],
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


def _curve(watch: Watch, history: curves.History, one: Standing, place: int) -> Curve:
    points = [Point(*point) for point in curves.points(watch, history, one, place)]
    return Curve(name=str(one.series), usual=one.usual.value, kinds=tuple(one.charts), points=points)
