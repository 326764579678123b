"""The map of a data set's classes as a picture, or as a page with the classes beside it."""

from pathlib import Path

import matplotlib
from markupsafe import Markup
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from innerloop.core import files
from innerloop.core.errors import InputError
from innerloop.evaluate.task_map import TaskMap
from innerloop.report.canvas import COLOURS, INK, STYLE, axes, png, svg
from innerloop.report.report import Plot, environment

MARKED = 5
"""Hardest classes that have a number in the picture."""
_LISTED = 40


def check_place(path: str | Path) -> None:
    """Refuse a file that a map cannot be drawn as, before there is one.

    Raises:
        InputError: Its name ends otherwise.
    """
    if Path(path).suffix.lower() not in (".html", ".png"):
        raise InputError(f"a map is drawn as .html or as .png, not as '{path}': end its name so")


def write_task_map(path: str | Path, mapped: TaskMap, *, dataset: str, features: str, command: str | None) -> Path:
    """Draw a map into a file, by the end of its name a page (.html) or a picture (.png).

    Args:
        path: The file; what is there is replaced.
        mapped: The map.
        dataset: Whose classes they are.
        features: What the distances are of, in words.
        command: What to type to draw it again.

    Raises:
        InputError: Its name ends otherwise, or it cannot be written.
    """
    check_place(path)
    path = Path(path)
    with matplotlib.rc_context(STYLE):
        figure = _figure(mapped)
        if path.suffix.lower() == ".png":
            files.write(path, png(figure))
            return path
        drawing = svg(figure, "map")
    words = (
        f"{len(mapped.test)} test classes among {len(mapped.train)} training classes, in the plane that holds "
        f"{100 * mapped.share:.0f}% of the squared distances between their means"
    )
    caption = f"{words[0].upper()}{words[1:]}. The {MARKED} hardest are numbered, with a line to the nearest rival."
    page = (
        environment()
        .get_template("task_map.html")
        .render(
            title=f"Map of {dataset}",
            mapped=mapped,
            features=features,
            rows=mapped.neighbours()[:_LISTED],
            plot=Plot(Markup(drawing), f"map: {words}", caption),
            command=command,
        )
    )
    files.write(path, page)
    return path


def _figure(mapped: TaskMap) -> Figure:
    """Means in the plane: training classes small and faint, test classes the darker the harder they are."""
    figure, plot = axes(4.2)
    n = len(mapped.test)
    test, train = mapped.places[:n].tolist(), mapped.places[n:].tolist()
    plot.scatter(*zip(*train, strict=True), s=12, color=INK, alpha=0.25, linewidths=0, label="training classes")
    hardness = mapped.difficulties.nan_to_num(0.0).clamp(0, 1).tolist()
    colours = [(*to_rgb(COLOURS[1]), 0.35 + 0.65 * min(1.0, 2 * value)) for value in hardness]
    plot.scatter(*zip(*test, strict=True), s=26, c=colours, linewidths=0, label="test classes")
    place = dict(zip(mapped.test, test, strict=True))
    for i, row in enumerate(mapped.neighbours()[:MARKED]):
        (x, y), (x2, y2) = place[row.name], place[row.rival]
        plot.plot([x, x2], [y, y2], color=COLOURS[1], linewidth=0.8)
        plot.annotate(str(i + 1), (x, y), xytext=(4, 4), textcoords="offset points", size=10)
    plot.set_xticks([])
    plot.set_yticks([])
    plot.set_xlabel(f"difficulty {mapped.difficulty:.2f}   novelty {mapped.novelty:.2f}   help {mapped.help:.2f}")
    plot.legend(frameon=False, fontsize=9)
    return figure
