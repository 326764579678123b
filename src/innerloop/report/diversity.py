"""What it costs that lists are not all of one kind, drawn."""

from collections.abc import Sequence

import matplotlib

from innerloop.evaluate.diversity import Cost
from innerloop.report import canvas
from innerloop.report.gallery import Shown


def shown(costs: Sequence[Cost]) -> list[Shown]:
    """A part of a report; none where nothing was measured."""
    if not costs:
        return []
    plain, most = costs[0], costs[-1]
    title = (
        f"What --diversity costs: nDCG@10 {plain.ndcg.mean:.3f} ± {plain.ndcg.ci95:.3f} at 0, whose lists have a mean "
        f"cosine of {plain.alike:.2f}; {most.ndcg.mean:.3f} ± {most.ndcg.ci95:.3f} and {most.alike:.2f} at "
        f"{most.weight:g}"
    )
    return [Shown(title, drawing=drawing(costs))]


def drawing(costs: Sequence[Cost], name: str = "diversity") -> str:
    """An SVG: what lists are worth over how alike their items are, a point a weight.

    Args:
        costs: At increasing weights.
        name: What ids in it begin with.
    """
    alike, means = [one.alike for one in costs], [one.ndcg.mean for one in costs]
    errors = [one.ndcg.ci95 for one in costs]
    with matplotlib.rc_context(canvas.STYLE):
        figure, axes = canvas.axes()
        axes.errorbar(alike, means, errors, color=canvas.COLOURS[0], marker="o", capsize=2, elinewidth=0.8)
        for one in costs:
            place = one.alike, one.ndcg.mean
            axes.annotate(f"{one.weight:g}", place, xytext=(5, 6), textcoords="offset points", size=9)
        axes.invert_xaxis()
        axes.set_xlabel("how alike the items of a list are (mean cosine)")
        axes.set_ylabel("nDCG@10")
        return canvas.svg(figure, name)
