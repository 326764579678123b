"""The report of a run folder, which is refreshed whenever there is more to say."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from innerloop.core import files
from innerloop.core.complaints import complain
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.types import Params, Sampler
from innerloop.engine.checkpoint import read_config
from innerloop.problems import of_record
from innerloop.runs.record import command
from innerloop.track.folder import PICTURES, TRACKING


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
        complain(f"{Path(run) / 'report.html'} was not written: {error}")
        return None
    config = read_config(run)
    task = (config.get("record") or {}).get("task")
    problem: dict[str, Any] = {}
    if task:
        kind = of_record(task)
        problem = {"score": kind.score, "pictures": kind.pictures}
    entries: dict[str, Any] = {"sampler": sampler, "learner": learner, "params": params, "allow": context.allow}
    write = partial(write_report, run, command=command(config), **entries)
    pictures = Path(run) / TRACKING / PICTURES
    return _photographed(pictures, write, **problem) if files.is_folder(pictures) else write(**problem)


def _photographed(place: Path, write: Callable[..., Path], **problem: Any) -> Path:
    """Write a report, and what it shows as PNG files, which trackers take."""
    from innerloop.report.canvas import photographed
    from innerloop.report.episode_sheet import episode_sheet
    from innerloop.report.gallery import Shown, gallery

    make, shown = problem.get("pictures", gallery), list[Shown]()

    def pictures(learner: Learner, params: Params, sampler: Sampler, count: int) -> list[Shown]:
        shown.extend(make(learner, params, sampler, count))
        return list(shown)

    with photographed() as drawn:
        page = write(**problem | {"pictures": pictures})
    sheets = {f"episode{i}": episode_sheet(one) for i, one in enumerate(shown)}
    for name, content in (drawn | sheets).items():
        if content is not None:
            files.write(place / f"{name}.png", content)
    return page


def kept(name: str, file: Path, report: Path | None) -> str:
    """Lines that say where a result and its report are."""
    return f"{name}: {file}" + ("" if report is None else f"\nreport: {report}")
