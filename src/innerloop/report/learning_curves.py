"""How groups of runs learned, as a figure: the mean over seeds, and a band of one deviation between them."""

from collections.abc import Sequence

import matplotlib

from innerloop.core.scores import Score
from innerloop.evaluate.learning import Curve
from innerloop.report.canvas import COLOURS, INK, STYLE, axes, svg


def learning_curves(name: str, curves: Sequence[Curve], score: Score, label: str) -> str:
    """Validation scores against steps or seconds.

    Args:
        name: Unique on the page.
        curves: A line each.
        score: Of validation.
        label: Of the horizontal axis.
    """
    with matplotlib.rc_context(STYLE):
        figure, plot = axes(3.4)
        for i, curve in enumerate(curves):
            colour, x = COLOURS[i % len(COLOURS)], [mark.at for mark in curve.marks]
            means = [score.factor * mark.mean for mark in curve.marks]
            widths = [score.factor * (mark.spread or 0.0) for mark in curve.marks]
            low, high = ([m + sign * w for m, w in zip(means, widths, strict=True)] for sign in (-1, 1))
            style = "-" if i < len(COLOURS) else "--"
            plot.plot(x, means, style, color=colour, linewidth=2, marker="o", markersize=3, label=curve.name)
            plot.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
        plot.set_xlabel(label)
        plot.set_ylabel(f"validation {score.label}")
        plot.grid(axis="y", color=INK, alpha=0.12)
        plot.legend(frameon=False, fontsize=10)
        return svg(figure, name)
