"""The page of a stream that is watched: shares and charts of what was said, and the sentences behind alerts."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from markupsafe import Markup
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from innerloop.core import files
from innerloop.core.interval import Share
from innerloop.report.canvas import COLOURS, INK, STYLE, axes, svg
from innerloop.report.report import Plot, environment, flat

_HEIGHTS = (2.6, 1.7)
_SECONDS = 86_400


class Row(NamedTuple):
    """How one label, or pair of labels, stands."""

    name: str
    share: Share
    adjusted: float | None
    ends: tuple[float, float] | None
    usual: Share
    trend: str | None
    charts: Mapping[str, tuple[float, float]]
    """Value and limit."""
    alerting: bool


class Point(NamedTuple):
    """A window."""

    time: float
    """Seconds since 1970."""
    share: float
    low: float
    high: float
    adjusted: float | None
    charts: tuple[float, ...]
    """How much of its limit each chart has reached; empty during the warm-up."""


class Curve(NamedTuple):
    """A label, or a pair, in time."""

    name: str
    usual: float
    kinds: tuple[str, ...]
    """Names of the charts."""
    points: list[Point]


def write_watched(
    file: str | Path,
    *,
    title: str,
    about: str,
    rows: Sequence[Row],
    curves: Sequence[Curve],
    alerts: Sequence[Mapping[str, Any]],
    notes: Sequence[str],
    settings: Mapping[str, Any],
    command: str | None = None,
) -> Path:
    """Write one page that needs nothing else; what is there is replaced.

    Args:
        file: To write.
        title: What is watched.
        about: How much of it, in words.
        rows: How everything stands.
        curves: Those that are drawn.
        alerts: The last first, as the watch gives them out.
        notes: What is to be known, a sentence each.
        settings: Of the watch.
        command: What to type to do this again.

    Returns:
        The file.

    Raises:
        InputError: It cannot be written.
    """
    html = (
        environment()
        .get_template("watched.html")
        .render(
            title=f"{title[:1].upper()}{title[1:]}, watched",
            about=about,
            rows=rows,
            alerting=[row for row in rows if row.alerting],
            plots=[(curve.name, _plots(curve, i)) for i, curve in enumerate(curves) if curve.points],
            alerts=alerts,
            notes=notes,
            settings=flat(settings),
            command=command,
        )
    )
    path = files.expanded(file)
    files.write(path, html)
    return path


def _plots(curve: Curve, index: int) -> list[Plot]:
    last = curve.points[-1]
    words = f"{100 * last.share:.0f}% in the last window, usually {100 * curve.usual:.0f}%"
    caption = f"Share of windows as answered with its 95% interval: {words}."
    if last.adjusted is not None:
        caption += f" Dashed: with the classifier's errors taken out, {100 * last.adjusted:.0f}%. Dotted: usual."
    plots = [Plot(Markup(_shares(curve, f"share{index}")), f"{curve.name}: {words}", caption)]
    charted = [point for point in curve.points if point.charts]
    if charted:
        ends = zip(curve.kinds, charted[-1].charts, strict=True)
        words = ", ".join(f"{kind} at {value:.2f} of its limit" for kind, value in ends)
        drawn = Markup(_charts(curve, charted, f"chart{index}"))
        plots.append(Plot(drawn, f"{curve.name}: {words}", f"Charts: {words}."))
    return plots


def _shares(curve: Curve, name: str) -> str:
    with matplotlib.rc_context(STYLE):
        figure, plot = axes(_HEIGHTS[0])
        times = [_day(point) for point in curve.points]
        plot.fill_between(
            times,
            [100 * point.low for point in curve.points],
            [100 * point.high for point in curve.points],
            color=COLOURS[0],
            alpha=0.2,
            linewidth=0,
        )
        plot.plot(times, [100 * point.share for point in curve.points], color=COLOURS[0], linewidth=1.8)
        known = [100 * point.adjusted if point.adjusted is not None else float("nan") for point in curve.points]
        plot.plot(times, known, color=COLOURS[1], linestyle="--", linewidth=1.4)
        plot.axhline(100 * curve.usual, color=INK, linestyle=":", linewidth=1, alpha=0.7)
        plot.set_ylim(bottom=0)
        plot.set_ylabel("share, %")
        _dates(plot)
        return svg(figure, name)


def _charts(curve: Curve, charted: Sequence[Point], name: str) -> str:
    with matplotlib.rc_context(STYLE):
        figure, plot = axes(_HEIGHTS[1])
        times = [_day(point) for point in charted]
        for i, kind in enumerate(curve.kinds):
            plot.plot(times, [point.charts[i] for point in charted], color=COLOURS[2 + i], linewidth=1.6, label=kind)
        plot.axhline(1, color=INK, linewidth=1, linestyle=":", alpha=0.7)
        plot.set_xlim(_day(curve.points[0]), _day(curve.points[-1]))
        plot.set_ylim(0, max(1.25, *(max(point.charts) for point in charted)) * 1.05)
        plot.set_ylabel("of the limit")
        plot.legend(frameon=False, fontsize=9, loc="upper left")
        _dates(plot)
        return svg(figure, name)


def _dates(plot: Any) -> None:
    locator = AutoDateLocator(tz=UTC, minticks=3, maxticks=7)  # with fewer there are spans that none fits
    plot.xaxis.set_major_locator(locator)
    plot.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))


def _day(point: Point) -> float:
    return point.time / _SECONDS  # since 1970, as matplotlib has dates
