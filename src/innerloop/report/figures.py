"""The plots of a report, as SVG text that takes the page's text colour."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from innerloop.core.interval import Interval
from innerloop.core.scores import Accuracy, Score
from innerloop.evaluate.active_curves import RANDOM, ActiveCurves
from innerloop.evaluate.class_scores import Bin
from innerloop.evaluate.optimizer_curves import OptimizerCurves
from innerloop.evaluate.result import Point, Result
from innerloop.report.canvas import COLOURS as _COLOURS
from innerloop.report.canvas import INK as _INK
from innerloop.report.canvas import STYLE as _STYLE
from innerloop.report.canvas import axes as _axes
from innerloop.report.canvas import svg as _svg

# White that lets the page through, so that it can be read on dark paper as well.
_SHARES: dict[str, Any] = {
    "cmap": LinearSegmentedColormap.from_list("shares", [(*to_rgb(_COLOURS[0]), 0.0), (*to_rgb(_COLOURS[0]), 1.0)]),
    "vmin": 0,
    "vmax": 1,
    "interpolation": "nearest",
    "aspect": "auto",
}
_BINS = 200
_INSIDE = 3
"""Lines whose legend has room inside of the axes."""
_DOTS = 30

Series = list[tuple[float, float]]
Line = Sequence[tuple[float, float]]


def learning(name: str, training: Series, label: str, validation: Sequence[Point] = (), factor: float = 1) -> str:
    """A quantity against the step: every bin's mean faint, smoothed strong, validation with its intervals.

    Args:
        name: Unique on the page.
        training: Steps and values.
        label: Of the vertical axis.
        validation: Means with intervals, if there are any.
        factor: What values are multiplied by.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes()
        if training:
            binned = _binned([(x, factor * y) for x, y in training])
            steps = [x for x, _ in binned]
            axes.plot(steps, [y for _, y in binned], color=_COLOURS[0], alpha=0.3, linewidth=1)
            axes.plot(
                steps, _smoothed([y for _, y in binned]), color=_COLOURS[0], linewidth=2, label="training, smoothed"
            )
        if validation:
            _whiskers(axes, validation, factor, "validation", _COLOURS[1])
        axes.set_xlabel("meta-training step")
        axes.set_ylabel(label)
        axes.legend(frameon=False, fontsize=10)
        return _svg(figure, name)


def adaptation(name: str, curve: Sequence[Point], score: Score, across: str) -> str:
    """Score against inner steps, shots, or what else there is more and more of."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes()
        _whiskers(axes, curve, score.factor, None, _COLOURS[0])
        axes.set_xlabel(across)
        axes.set_ylabel(score.label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if score.percent:  # an interval of few episodes may lead out of what is possible
            low, high = axes.get_ylim()
            axes.set_ylim(max(low, -1.0), min(high, 101.0))
        return _svg(figure, name)


def results(name: str, rows: Sequence[Result], chance: float | None) -> str:
    """One dot with its interval a learner, the first on top."""
    score = rows[0].protocol.score
    factor = score.factor
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(0.9 + 0.42 * len(rows))
        for i, row in enumerate(rows):
            mean, ci95 = factor * row.mean, factor * row.ci95
            colour = _COLOURS[0] if i == 0 else _COLOURS[4]
            axes.errorbar(mean, i, xerr=ci95, fmt="o" if i == 0 else "s", color=colour, capsize=4, markersize=7)
        if chance is not None:
            axes.axvline(factor * chance, color=_INK, linewidth=1, linestyle=":", alpha=0.6)
            axes.text(factor * chance, -0.62, "chance", ha="center", fontsize=9)
        axes.set_yticks(range(len(rows)), [row.learner for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="x", color=_INK, alpha=0.12)
        if score.percent:
            known = (factor * (row.mean - row.ci95) for row in rows if row.ci95 == row.ci95)
            low = min(known, default=0.0) if len(rows) > 1 else 0.0
            axes.set_xlim(0 if chance is not None or low < 30 else low - 5, 101)
        axes.set_xlabel(score.label)
        return _svg(figure, name)


def optimizer_curves(name: str, curves: OptimizerCurves) -> str:
    """Mean value against the step, with bands; dotted lines at the horizons."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(3.4)
        for i, row in enumerate(curves.rows):
            steps = range(1, len(row.mean) + 1)
            low = [max(m - c, m / 10) for m, c in zip(row.mean, row.ci95, strict=True)]
            high = [m + c for m, c in zip(row.mean, row.ci95, strict=True)]
            axes.plot(steps, row.mean, color=_COLOURS[i], linewidth=2.2 if i == 0 else 1.3, label=row.name)
            axes.fill_between(steps, low, high, color=_COLOURS[i], alpha=0.18, linewidth=0)
        for horizon in curves.horizons:
            axes.axvline(horizon, color=_INK, linewidth=1, linestyle=":", alpha=0.5)
        first = [row.mean[0] for row in curves.rows]
        axes.set_yscale("log")
        axes.set_ylim(top=3 * max(first))
        axes.set_xlabel("step")
        axes.set_ylabel("mean value")
        axes.legend(frameon=False, fontsize=10)
        return _svg(figure, name)


def active(name: str, curves: ActiveCurves) -> str:
    """Accuracy against the number of bought labels, a line a rule with its band; random in grey."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(3.4)
        for i, rule in enumerate((*curves.rules, RANDOM)):
            points = curves.curve(rule)
            colour, steps = _COLOURS[4] if rule == RANDOM else _COLOURS[i], [p.step for p in points]
            known = [100 * (p.ci95 if p.ci95 == p.ci95 else 0.0) for p in points]
            means = [100 * p.mean for p in points]
            low = [max(0.0, m - c) for m, c in zip(means, known, strict=True)]
            high = [min(100.0, m + c) for m, c in zip(means, known, strict=True)]
            line = "--" if rule == RANDOM else "-"
            axes.plot(steps, means, line, color=colour, linewidth=2, label=rule.replace("_", " "))
            axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_xlabel("labels bought")
        axes.set_ylabel(Accuracy().label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", color=_INK, alpha=0.12)
        axes.legend(frameon=False, fontsize=10, loc="lower right")
        return _svg(figure, name)


def function(name: str, support: Series, truth: Series, predicted: Series) -> str:
    """A one-dimensional regression task: what was seen, what was asked, what was answered."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes()
        axes.plot(*zip(*sorted(truth), strict=True), "-", color=_COLOURS[4], linewidth=1.5, label="truth")
        axes.plot(*zip(*sorted(predicted), strict=True), "x", color=_COLOURS[1], label="predicted")
        axes.plot(*zip(*support, strict=True), "o", color=_COLOURS[0], markersize=7, label="support")
        axes.legend(frameon=False, fontsize=10)
        axes.set_xlabel("x")
        axes.set_ylabel("y")
        return _svg(figure, name)


def bands(
    name: str,
    support: Series,
    truth: Series,
    x: Sequence[float],
    mean: Sequence[float],
    intervals: Mapping[float, tuple[Sequence[float], Sequence[float]]],
    members: Sequence[Sequence[float]],
) -> str:
    """What is known of a function: its mean, intervals around it, and the members that disagree, beside the truth.

    Args:
        name: Unique on the page.
        support: What was seen.
        truth: The function at many points, in their order.
        x: Where the following are.
        mean: Of the predictive.
        intervals: Lower and upper ends by level.
        members: Means of single members, if there are several.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(3.2)
        for level, (low, high) in sorted(intervals.items(), reverse=True):
            strength = 0.45 - 0.3 * level
            axes.fill_between(x, low, high, color=_COLOURS[0], alpha=strength, linewidth=0, label=f"{level:.0%} band")
        for i, values in enumerate(members):
            label = "members" if i == 0 else None
            axes.plot(x, values, "-", color=_COLOURS[0], linewidth=0.5, alpha=0.6, label=label)
        axes.plot(x, mean, "-", color=_COLOURS[0], linewidth=2, label="mean")
        axes.plot(*zip(*truth, strict=True), "--", color=_COLOURS[1], linewidth=1.5, label="truth")
        if support:
            axes.plot(*zip(*support, strict=True), "o", color=_INK, markersize=5, label="support", zorder=4)
        axes.legend(frameon=False, fontsize=9, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        axes.set_xlabel("x")
        axes.set_ylabel("y")
        return _svg(figure, name)


def pictures(name: str, rows: Sequence[tuple[str, Mapping[str, Tensor]]]) -> str:
    """A table of pictures: a label a row, the same columns in each.

    Args:
        name: Unique on the page.
        rows: A label with [height, width, 3] pictures from 0 to 1 by the name of their column.
    """
    columns = list(rows[0][1])
    height, width = rows[0][1][columns[0]].shape[:2]
    down, across = height + max(1, height // 10), width + max(1, width // 10)
    sheet = torch.zeros(down * len(rows), across * len(columns), 4)  # transparent between the pictures
    for i, (_, row) in enumerate(rows):
        for j, column in enumerate(columns):
            cell = sheet[i * down : i * down + height, j * across : j * across + width]
            cell[..., :3], cell[..., 3] = row[column], 1
    with matplotlib.rc_context(_STYLE):
        figure = Figure(
            figsize=(1.3 * len(columns) + 0.9, 1.3 * len(rows) * height / width + 0.3), layout="constrained"
        )
        axes = figure.add_subplot()
        axes.imshow(sheet.numpy(), interpolation="nearest")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
        axes.set_xticks([j * across + width / 2 - 0.5 for j in range(len(columns))], columns)
        axes.set_yticks([i * down + height / 2 - 0.5 for i in range(len(rows))], [label for label, _ in rows])
        return _svg(figure, name)


def reliability(name: str, bins: Sequence[Bin]) -> str:
    """Accuracy against confidence, a dot a bin, larger where there are more answers; dotted: what it should be."""
    most = max(one.size for one in bins)
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(3.4)
        axes.plot([0, 100], [0, 100], color=_INK, linewidth=1, linestyle=":", alpha=0.6)
        full = [one for one in bins if one.size]
        points = [(100 * one.confidence, 100 * one.accuracy) for one in full]
        axes.plot(*zip(*points, strict=True), color=_COLOURS[0], linewidth=1, alpha=0.5)
        sizes = [20 + 120 * one.size / most for one in full]
        axes.scatter(*zip(*points, strict=True), s=sizes, color=_COLOURS[0], zorder=3, clip_on=False)
        axes.set_xlim(0, 102)
        axes.set_ylim(-2, 102)
        axes.set_xlabel("confidence (%)")
        axes.set_ylabel("answered rightly (%)")
        return _svg(figure, name)


def coverage(name: str, levels: Sequence[tuple[float, Interval, Interval]]) -> str:
    """Share of the targets inside intervals against their level, with 95% intervals; dotted: what it should be."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(3.4)
        axes.plot([0, 100], [0, 100], color=_INK, linewidth=1, linestyle=":", alpha=0.6)
        known = [100 * (inside.ci95 if inside.ci95 == inside.ci95 else 0.0) for _, inside, _ in levels]
        points = [(100 * level, 100 * inside.mean) for level, inside, _ in levels]
        axes.errorbar(*zip(*points, strict=True), yerr=known, fmt="o-", color=_COLOURS[0], capsize=3, markersize=6)
        axes.set_xlim(0, 102)
        axes.set_ylim(-2, 102)
        axes.set_xlabel("level of the interval (%)")
        axes.set_ylabel("targets inside (%)")
        return _svg(figure, name)


def risk_coverage(name: str, points: Series) -> str:
    """Share of wrong answers against the share of examples that is answered, the most confident first."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(3.4)
        axes.plot([100 * x for x, _ in points], [100 * y for _, y in points], color=_COLOURS[0], linewidth=2)
        axes.set_xlim(0, 102)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("examples answered (%)")
        axes.set_ylabel("of them wrong (%)")
        return _svg(figure, name)


def confusion(name: str, shares: Sequence[Sequence[float]]) -> str:
    """A matrix of shares of each row, as a picture: true classes down, answers across, both by number from 1."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(4.4)
        ends = (0.5, len(shares[0]) + 0.5, len(shares) + 0.5, 0.5)
        axes.imshow(shares, extent=ends, **_SHARES)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("answered (number of the class)")
        axes.set_ylabel("is (number of the class)")
        return _svg(figure, name)


def stream_matrix(name: str, matrix: Sequence[Sequence[float]], score: Score) -> str:
    """R as a picture: after how many ends down, from 0 for untrained, tasks across."""
    values = [[score.factor * value for value in row] for row in matrix]
    ends = (0.5, len(values[0]) + 0.5, len(values) - 0.5, -0.5)
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(4.0)
        shown = axes.imshow(values, extent=ends, **_SHARES)
        shown.set_clim(0, 100) if score.percent else shown.autoscale()
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("task that is asked for")
        axes.set_ylabel("tasks that have ended")
        figure.colorbar(shown, label=score.label)
        return _svg(figure, name)


def stream_curves(
    name: str, curves: Mapping[str, Line], label: str, factor: float = 1, across: str = "rows of the stream"
) -> str:
    """A line each against the rows of the stream, or what else comes one after another."""
    inside = len(curves) <= _INSIDE
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(3.4 if inside else 3.0 + 0.22 * len(curves))
        for i, (of, points) in enumerate(curves.items()):
            x, y = zip(*points, strict=True)
            colour = _COLOURS[i % len(_COLOURS)]
            marker = "" if len(points) > _DOTS else "o"
            axes.plot(x, [factor * value for value in y], marker=marker, color=colour, markersize=4, label=of)
        axes.set_xlabel(across)
        axes.set_ylabel(label)
        above = {} if inside else {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}
        axes.legend(frameon=False, fontsize=10, **above)
        return _svg(figure, name)


def histogram(name: str, groups: Mapping[str, Sequence[float]], label: str) -> str:
    """How many values lie where, group upon group."""
    colours = [_COLOURS[i % len(_COLOURS)] for i in range(len(groups))]
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(3.4)
        axes.hist(list(groups.values()), bins=40, stacked=True, label=list(groups), color=colours)
        axes.set_xlabel(label)
        axes.set_ylabel("how many")
        axes.legend(frameon=False, fontsize=10)
        return _svg(figure, name)


def experts(name: str, families: Sequence[str], shares: Sequence[Sequence[float]]) -> str:
    """Shares of each expert in the tasks of each family, as a picture with its numbers: families down."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(0.9 + 0.42 * len(families))
        axes.imshow(shares, **_SHARES)
        for i, row in enumerate(shares):
            for k, share in enumerate(row):
                axes.text(k, i, f"{share:.2f}", ha="center", va="center", fontsize=10)
        axes.set_yticks(range(len(families)), families)
        axes.set_xticks(range(len(shares[0])), [str(k + 1) for k in range(len(shares[0]))])
        axes.set_xlabel("expert")
        return _svg(figure, name)


def _whiskers(axes: Axes, points: Sequence[Point], factor: float, label: str | None, colour: str) -> None:
    axes.errorbar(
        [p.step for p in points],
        [factor * p.mean for p in points],
        yerr=[factor * p.ci95 if p.ci95 == p.ci95 else 0.0 for p in points],
        fmt="o-",
        color=colour,
        capsize=3,
        markersize=4,
        label=label,
    )


def _binned(values: Series) -> Series:
    """At most `_BINS` means of neighbouring values."""
    size = -(-len(values) // _BINS)
    groups = [values[i : i + size] for i in range(0, len(values), size)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]


def _smoothed(values: list[float]) -> list[float]:
    """Means over a centred window of a tenth of the run, narrower at its ends."""
    half = len(values) // 20
    windows = [values[max(0, i - min(i, half)) : i + min(half, len(values) - 1 - i, i) + 1] for i in range(len(values))]
    return [sum(w) / len(w) for w in windows]
