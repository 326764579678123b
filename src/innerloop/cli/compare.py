"""`innerloop compare <run> <run> ...`."""

import shlex
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import tyro

from innerloop.cli.options import Common, emit, parse, print, refuse_given, tell
from innerloop.continual.compare import any_stream
from innerloop.continual.compare import compare as compare_streams
from innerloop.continual.measure import PartOptions
from innerloop.core import files
from innerloop.evaluate.tables import to_csv, to_latex
from innerloop.runs.compare import CompareOptions, compare_runs


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop compare`."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Run folders, folders of several seeds, or test-*.json files. The others are compared with the first; runs that
    differ in their seed alone are also summed up."""
    tasks: CompareOptions = field(default_factory=CompareOptions)
    stream: PartOptions = field(default_factory=PartOptions)
    html: str | None = None
    """Also write the table and a figure into this file, which needs nothing else."""
    csv: str | None = None
    """Also write the table into this file: a line for every run, and one for the seeds of a learner."""
    latex: str | None = None
    """Also write it as LaTeX for the package booktabs; bold is what the intervals do not tell from the best."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Test runs on the same unseen tasks: means, paired differences to the first run, time, memory and parameters.

    Runs on streams are compared by what they kept, at the seeds that they share.
    """
    options = parse(Command, argv, "compare", run.__doc__ or "")
    if any_stream(options.runs):
        refuse_given("of runs on tasks, and these follow streams", options.tasks)
        refuse_given(
            "a table of runs on tasks, and these follow streams", options, keep=("runs", "tasks", "stream", "common")
        )
        table = compare_streams(options.runs, options.stream)
        return tell(table.to_json(), str(table), options.common)
    write = None
    if options.html is not None:
        from innerloop.report.report import write_comparison as write

    # Known to be there before anything is measured.
    for place in (options.html, options.csv, options.latex):
        if place is not None:
            files.writable(Path(place).parent)
    comparison = compare_runs(options.runs, options.tasks, options.common, progress=partial(print, stderr=True))
    if options.common.json:
        emit(comparison.to_json())
    else:
        print(str(comparison))
    for place, make in ((options.csv, to_csv), (options.latex, to_latex)):
        if place is not None:
            files.write(Path(place), make(comparison))
            print(f"table: {place}", stderr=options.common.json)
    if options.html is not None and write is not None:
        page = write(options.html, comparison, shlex.join(["innerloop", "compare", *argv]))
        print(f"page: {page}", stderr=options.common.json)
    return 0
