"""`report.html` of a run on a stream: what it kept of every task, as a matrix and against the rows it saw."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from innerloop.core import files
from innerloop.core.scores import Score
from innerloop.report import figures
from innerloop.report.report import Plot, environment, flat


class Shown(NamedTuple):
    """A learner on the stream."""

    name: str
    cells: Sequence[str]
    """Figures as tables print them."""
    matrix: Sequence[Sequence[float]]
    """R."""
    means: figures.Series
    """Rows that were seen, and the mean over all tasks then."""


def write_stream(
    run: str | Path,
    rows: Sequence[Shown],
    heads: Sequence[str],
    notes: Sequence[str],
    current: figures.Series,
    score: Score,
    settings: Mapping[str, Any],
    command: str | None = None,
) -> Path:
    """Write `report.html` into the folder of a run on a stream.

    Args:
        run: The folder.
        rows: The run first, then what stands beside it.
        heads: Names of the figures.
        notes: What they are.
        current: Rows that were seen, and the score on the task that was arriving; empty: it was not asked for.
        score: What was measured.
        settings: Of the run, by section.
        command: What to type to do all this again.

    Returns:
        The file.

    Raises:
        InputError: It cannot be written.
    """
    html = (
        environment()
        .get_template("stream.html")
        .render(
            title=f"{rows[0].name} on a stream",
            rows=rows,
            heads=heads,
            notes=notes,
            plots=_plots(rows, current, score),
            sections=[(key, flat(value)) for key, value in settings.items() if value],
            command=command,
        )
    )
    path = Path(run) / "report.html"
    files.write(path, html)
    return path


def _plots(rows: Sequence[Shown], current: figures.Series, score: Score) -> list[Plot]:
    own = rows[0]
    words = f"{score.title} of every task after every end of {own.name}"
    plots = [
        Plot(Markup(figures.stream_matrix("matrix", own.matrix, score)), words, f"{words}; row 0: untrained."),
        _lines("means", {row.name: row.means for row in rows}, "mean over all tasks, those to come as well", score),
    ]
    if current:
        plots.append(_lines("current", {own.name: current}, "score on the task that is arriving", score))
    return plots


def _lines(name: str, curves: Mapping[str, figures.Series], words: str, score: Score) -> Plot:
    ends = "; ".join(f"{of}: {score.factor * points[-1][1]:.3g} at the end" for of, points in curves.items())
    svg = figures.stream_curves(name, curves, score.label, score.factor)
    return Plot(Markup(svg), f"{words}: {ends}", f"{score.title.capitalize()}: {words}.")
