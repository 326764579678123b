"""Pages of runs on a stream: what each kept of every task, as a matrix and against the rows it saw."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from markupsafe import Markup

from innerloop.core import files
from innerloop.core.scores import Score
from innerloop.report import figures
from innerloop.report.report import Plot, environment, flat

_MIXED = 2
"""Rows of the matrix of a stream that has one end: its tasks came mixed."""


class Shown(NamedTuple):
    """A learner on the stream."""

    name: str
    cells: Sequence[str]
    """Figures as tables print them."""
    matrix: Sequence[Sequence[float]]
    """R."""
    means: figures.Line
    """Rows that were seen, and the mean over all tasks then."""
    learned: figures.Line = ()
    """Number of a round, and its score when its rows had been seen; empty where tasks are no rounds."""
    within: figures.Line = ()
    """Rows of a round that were seen, and the mean over rounds then; empty: as above, or it was not asked for."""


class Curves(NamedTuple):
    """What else is drawn of the run; empty: there is none."""

    current: figures.Line = ()
    """Rows that were seen, and the score on the task that was arriving."""
    regret: figures.Line = ()
    """Number of a round, and what was lost in it."""
    angles: figures.Line = ()
    """Number of a round, and the degrees between a learned subspace and its own."""
    rates: Mapping[str, Sequence[float]] | None = None
    """Learned rates at the end, by layer; None: it learned none."""
    early: Mapping[str, figures.Line] | None = None
    """How many tasks had ended, and the score on the first ones then, by what they were judged among."""


def write_stream(
    run: str | Path,
    rows: Sequence[Shown],
    heads: Sequence[str],
    notes: Sequence[str],
    curves: Curves,
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
        curves: What else is drawn of it.
        score: What was measured.
        settings: Of the run, by section.
        command: What to type to do all this again.

    Returns:
        The file.

    Raises:
        InputError: It cannot be written.
    """
    plots = [_matrix("matrix", rows[0], score), *_plots(rows, curves, score)]
    path, title = Path(run) / "report.html", f"{rows[0].name} on a stream"
    return _written(path, title, rows, heads, notes, plots, settings, command)


def write_comparison(
    file: str | Path,
    rows: Sequence[Shown],
    heads: Sequence[str],
    notes: Sequence[str],
    early: Mapping[str, figures.Line],
    score: Score,
    settings: Mapping[str, Any],
    command: str | None = None,
) -> Path:
    """Write one page that compares learners on a stream.

    Args:
        file: To write; what it holds is replaced.
        rows: A learner each, the mean of its seeds; the first is what the others are compared with.
        heads: Names of the figures.
        notes: What they are.
        early: How many tasks had ended, and the score on the first ones then, by learner; empty: it is not asked for.
        score: What was measured.
        settings: Of the stream, by section.
        command: What to type to do this again.

    Returns:
        The file.

    Raises:
        InputError: It cannot be written.
    """
    apart = [row for row in rows if len(row.matrix) > _MIXED]
    plots = [*_plots(rows, Curves(early=early), score), *(_matrix(f"matrix{i}", r, score) for i, r in enumerate(apart))]
    return _written(Path(file), f"{len(rows)} learners on a stream", rows, heads, notes, plots, settings, command)


def _written(
    path: Path,
    title: str,
    rows: Sequence[Shown],
    heads: Sequence[str],
    notes: Sequence[str],
    plots: Sequence[Plot],
    settings: Mapping[str, Any],
    command: str | None,
) -> Path:
    page = environment().get_template("stream.html")
    sections = [(key, flat(value)) for key, value in settings.items() if value]
    about = {"title": title, "rows": rows, "heads": heads, "notes": notes, "plots": plots}
    files.write(path, page.render(**about, sections=sections, command=command))
    return path


def _matrix(name: str, row: Shown, score: Score) -> Plot:
    words = f"{score.title} of every task after every end of {row.name}"
    return Plot(Markup(figures.stream_matrix(name, row.matrix, score)), words, f"{words}; row 0: untrained.")


def _plots(rows: Sequence[Shown], curves: Curves, score: Score) -> list[Plot]:
    own, factor, plots = rows[0], score.factor, list[Plot]()

    def lines(
        name: str,
        of: Mapping[str, figures.Line],
        words: str,
        across: str,
        label: str = score.label,
        by: float = factor,
    ) -> None:
        of = {key: points for key, points in of.items() if points}
        if of:
            ends = "; ".join(f"{key}: {by * points[-1][1]:.3g} at the end" for key, points in of.items())
            svg = figures.stream_curves(name, of, label, by, across)
            plots.append(Plot(Markup(svg), f"{words}: {ends}", f"{words[0].upper()}{words[1:]}."))

    rounds, rows_seen = "round", "rows of the stream"
    learned, within = {row.name: row.learned for row in rows}, {row.name: row.within for row in rows}
    if own.learned:
        lines("learned", learned, f"{score.title} of every round once its rows had been seen", rounds)
    else:
        words = f"{score.title}: mean over all tasks, those to come as well"
        lines("means", {row.name: row.means for row in rows}, words, rows_seen)
    lines("within", within, f"{score.title} while the rows of a round arrive, mean over rounds", "rows of the round")
    lines("early", curves.early or {}, f"{score.title} on the first tasks while others come", "tasks that have ended")
    lines("current", {own.name: curves.current}, f"{score.title} on the task that is arriving", rows_seen)
    lines("regret", {own.name: curves.regret}, "what was lost in every round against hindsight", rounds, "regret")
    lines("angles", {own.name: curves.angles}, "largest angle to the subspace of the round", rounds, "degrees", 1)
    if curves.rates:
        means = "; ".join(f"{layer}: {fmean(values):.3g} on average" for layer, values in curves.rates.items())
        words = "Rates of all weights at the end, by layer; those below 0 count as 0"
        plots.append(Plot(Markup(figures.histogram("rates", curves.rates, "rate")), f"{words}: {means}", f"{words}."))
    return plots
