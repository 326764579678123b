"""The report of a study: one page with its figures, which needs nothing else and no network."""

import html
import importlib.util
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from innerloop.core import files
from innerloop.core.complaints import complain
from innerloop.studies.attempt import short
from innerloop.studies.final import Final, Row, number
from innerloop.studies.storage import library, quiet
from innerloop.studies.study import Study

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em;border-bottom:1px solid #ccc;text-align:left}"
    "pre{background:#f4f4f4;padding:1em;white-space:pre-wrap}tr.winner{font-weight:600}"
)


def write_page(study: Study, result: Final) -> Path | None:
    """Write `report.html` into the study's folder: verdict, table, history, importance, coordinates, slices.

    Args:
        study: Whose trials are over.
        result: What it came to.

    Returns:
        The file; None, said on standard error, where plotly is missing.
    """
    path = study.out / "report.html"
    if importlib.util.find_spec("plotly") is None:
        complain(f"{path} was not written: pip install 'innerloop[tune]'")
        return None
    learner, data = study.options.learner, study.options.task.data
    title = html.escape(f"{learner} on {data}: {len(result.rows)} trials")
    figures = "\n".join(_figures(study, result))
    files.write(
        path,
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"</head><body><h1>{title}</h1>\n<pre>{html.escape(str(result))}</pre>\n"
        f"<p>Again: <code>{html.escape(shlex.join(_command(study)))}</code></p>\n"
        f"<h2>Trials</h2>\n{_table(study, result)}\n{figures}\n</body></html>\n",
    )
    return path


def _command(study: Study) -> list[str]:
    task, settings = study.options.task, study.settings
    words = ["innerloop", "tune", study.options.learner, "--data", task.data, "--trials", str(settings.trials)]
    space = ["--space", settings.space] if settings.space else []
    return [*words, *space, "--out", str(study.out)]


def _table(study: Study, result: Final) -> str:
    names = list(dict.fromkeys(name for row in result.rows for name in row.values))
    heads = ("trial", f"validation {study.score.title}", "", *names, "steps", "processor s")
    lines = [f"<tr>{''.join(f'<th>{html.escape(head)}</th>' for head in heads)}</tr>"]
    for row in result.rows:
        cells = (
            f"{row.number}{' (defaults)' * (row.number == 0)}",
            number(row.value, study.score),
            _state(row),
            *(short(row.values[name]) if name in row.values else "" for name in names),
            "" if row.steps is None else str(row.steps),
            "" if row.cpu_seconds is None else f"{row.cpu_seconds:.0f}",
        )
        winner = ' class="winner"' if row.number == result.winner.number else ""
        lines.append(f"<tr{winner}>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>")
    return "\n".join(["<table>", *lines, "</table>"])


def _state(row: Row) -> str:
    return {"COMPLETE": "", "PRUNED": "pruned"}.get(row.state, f"failed: {row.reason}")


def _figures(study: Study, result: Final) -> Iterator[str]:
    optuna, target = library(), study.score.title
    show = optuna.visualization
    own = {name: None for row in result.rows for name in row.values if row.complete}
    importance = optuna.importance.PedAnovaImportanceEvaluator()
    parts: dict[str, Callable[[], Any]] = {
        "History": lambda: show.plot_optimization_history(study.study, target_name=target),
        "Validation during training": lambda: show.plot_intermediate_values(study.study),
        "Importance": lambda: show.plot_param_importances(study.study, evaluator=importance, target_name=target),
        "Parallel coordinates": lambda: show.plot_parallel_coordinate(study.study, target_name=target),
        "Slices": lambda: show.plot_slice(study.study, target_name=target),
    }
    script = True
    for head, draw in parts.items():
        if not own and head not in ("History", "Validation during training"):
            continue
        try:
            with quiet():
                figure = draw()
        except (ValueError, RuntimeError) as error:  # too few trials, or values that are all alike
            yield f"<h2>{head}</h2>\n<p>Not drawn: {html.escape(str(error))}</p>"
            continue
        # The script once, in the page: it is read without a network.
        yield f"<h2>{head}</h2>\n{figure.to_html(full_html=False, include_plotlyjs=script)}"
        script = False
