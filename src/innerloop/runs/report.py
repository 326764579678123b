"""The report of a run folder, which is refreshed whenever there is more to say."""

import sys
from pathlib import Path
from typing import Any

from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.types import Params, Sampler
from innerloop.engine.checkpoint import read_config
from innerloop.problems import of_record
from innerloop.runs.record import command


def refresh(
    run: str | Path,
    *,
    sampler: Sampler | None = None,
    learner: Learner | None = None,
    params: Params | None = None,
    context: Context = Context(),
) -> Path | None:
    """Write `report.html`: arguments of `report.write_report`.

    None, said on standard error, where its packages are missing: what was trained or measured is kept all the same.
    """
    # Matplotlib and jinja2 are an extra, and a measurement must not be lost for want of a drawing.
    try:
        from innerloop.report.report import write_report
    except InputError as error:
        print(f"innerloop: {Path(run) / 'report.html'} was not written: {error}", file=sys.stderr)
        return None
    config = read_config(run)
    task = (config.get("record") or {}).get("task")
    problem: dict[str, Any] = {}
    if task:
        kind = of_record(task)
        problem = {"score": kind.score, "pictures": kind.pictures}
    entries: dict[str, Any] = {"sampler": sampler, "learner": learner, "params": params, "allow": context.allow}
    return write_report(run, command=command(config), **entries, **problem)


def kept(name: str, file: Path, report: Path | None) -> str:
    """Lines that say where a result and its report are."""
    return f"{name}: {file}" + ("" if report is None else f"\nreport: {report}")
