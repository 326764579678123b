"""`report.html` of an advice: ten lines, the commands, and what they rest on, on one page that needs nothing else."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup

from innerloop.core import files
from innerloop.core.scores import Accuracy
from innerloop.evaluate.result import Point
from innerloop.report import canvas, figures
from innerloop.report.report import Plot, environment

_NAMED = 40
"""Classes whose names fit into the map."""


def write_advice(
    folder: str | Path, advice: Mapping[str, Any], tables: Mapping[str, Sequence[Sequence[str]]], command: str
) -> Path:
    """Write `report.html` and `advice.json` into a folder; what is there is replaced.

    Args:
        folder: It is made where it is missing.
        advice: What `Advice.to_json` returned.
        tables: What was tried, by title.
        command: What to type to do all this again.

    Returns:
        The page.

    Raises:
        InputError: It cannot be written.
    """
    folder = Path(folder)
    with matplotlib.rc_context(canvas.STYLE):
        plots = [_map(advice["map"]), *_curve(advice["by_shots"])]
    html = (
        environment()
        .get_template("advice.html")
        .render(
            title=f"What to do with {Path(advice['data']).name or advice['data']}",
            advice=advice,
            lines=[line.partition(": ")[::2] for line in advice["lines"]],
            tables=tables,
            plots=plots,
            command=command,
        )
    )
    files.write(folder / "advice.json", json.dumps(advice, ensure_ascii=False, indent=2) + "\n")
    page = folder / "report.html"
    files.write(page, html)
    return page


def _map(about: Mapping[str, Any]) -> Plot:
    """Class means in a plane; held-out ones are hollow, with a line to the class nearest to them."""
    figure, axes = canvas.axes(3.6)
    places = dict(zip(about["names"], about["places"], strict=True))
    helped = dict(about["helpers"])
    for name, helper in helped.items():
        axes.plot(*zip(places[name], places[helper], strict=True), color=canvas.COLOURS[4], linewidth=0.6, zorder=1)
    for held, fill in ((False, canvas.COLOURS[0]), (True, "none")):
        chosen = [place for name, place in places.items() if (name in helped) == held]
        if chosen:
            axes.scatter(*zip(*chosen, strict=True), s=26, facecolors=fill, edgecolors=canvas.COLOURS[0], zorder=2)
    if len(places) <= _NAMED:
        for name, place in places.items():
            axes.annotate(name[:14].replace("$", r"\$"), place, (3, 3), textcoords="offset points", fontsize=6)
    axes.set(xticks=[], yticks=[])
    words = f"classes are {about['apart']:.2f} spreads apart, their nearest rivals {about['rival']:.2f}"
    words += "" if about["unlike"] is None else f", held-out ones {about['unlike']:.2f} from those that are trained on"
    caption = f"Means of the classes by the first two principal components: {words}. A spread is the mean distance of "
    caption += "examples to the mean of their class."
    caption += " Hollow: held out, with a line to the class that is nearest to it." if helped else ""
    return Plot(Markup(canvas.svg(figure, "map")), f"map of the classes: {words}", caption)


def _curve(about: Mapping[str, Any]) -> list[Plot]:
    """Accuracy by the number of shots, where there are several."""
    points = [Point(one["shots"], one["mean"], one["ci95"]) for one in about["points"]]
    if len(points) < 2:
        return []
    words = ", ".join(f"{100 * point.mean:.1f}% with {point.step}" for point in points)
    svg = figures.adaptation("shots", points, Accuracy(), "labelled examples of each class")
    caption = f"What labels buy: {words}. The same episodes with nested examples."
    return [Plot(Markup(svg), f"accuracy by the number of shots: {words}", caption)]
