"""`innerloop compare <run> <run> ...`."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import tyro

from innerloop.cli.options import Common, emit, parse, print, refuse_given, tell
from innerloop.continual.compare import any_stream
from innerloop.continual.compare import compare as compare_streams
from innerloop.continual.measure import PartOptions
from innerloop.continual.report import write_comparison as write_streams
from innerloop.continual.tables import to_csv as streams_csv
from innerloop.continual.tables import to_latex as streams_latex
from innerloop.core import files
from innerloop.evaluate.tables import to_csv, to_latex
from innerloop.runs.compare import CompareOptions, compare_runs

T = TypeVar("T")


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
        _writable(options)
        table = compare_streams(options.runs, options.stream)
        _write(options, table, streams_csv, streams_latex)
        if options.html is not None:
            print(f"page: {write_streams(options.html, table, argv)}", stderr=options.common.json)
        return tell(table.to_json(), str(table), options.common)
    write = None
    if options.html is not None:
        from innerloop.report.report import write_comparison as write

    _writable(options)
    comparison = compare_runs(options.runs, options.tasks, options.common, progress=partial(print, stderr=True))
    if options.common.json:
        emit(comparison.to_json())
    else:
        print(str(comparison))
    _write(options, comparison, to_csv, to_latex)
    if options.html is not None and write is not None:
        page = write(options.html, comparison, shlex.join(["innerloop", "compare", *argv]))
        print(f"page: {page}", stderr=options.common.json)
    return 0


def _writable(options: Command) -> None:
    """Know that files can be written before anything is measured."""
    for place in (options.html, options.csv, options.latex):
        if place is not None:
            files.writable(Path(place).parent)


def _write(options: Command, table: T, as_csv: Callable[[T], str], as_latex: Callable[[T], str]) -> None:
    for place, make in ((options.csv, as_csv), (options.latex, as_latex)):
        if place is not None:
            files.write(Path(place), make(table))
            print(f"table: {place}", stderr=options.common.json)
