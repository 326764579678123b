"""`innerloop compare <run> <run> ...`."""

import shlex
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import tyro

from innerloop.cli.options import Common, emit, parse, print
from innerloop.core import files
from innerloop.runs.compare import CompareOptions, compare_runs


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop compare`."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Run folders, or test-*.json files of such. The others are compared with the first."""
    tasks: CompareOptions = field(default_factory=CompareOptions)
    html: str | None = None
    """Also write the table and a figure into this file, which needs nothing else."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Test runs on the same unseen tasks: means, paired differences to the first run, time, memory and parameters."""
    options = parse(Command, argv, "compare", run.__doc__ or "")
    write = None
    if options.html is not None:
        from innerloop.report.report import write_comparison as write  # known to be there before anything is measured

        files.writable(Path(options.html).parent)
    comparison = compare_runs(options.runs, options.tasks, options.common, progress=partial(print, stderr=True))
    if options.common.json:
        emit(comparison.to_json())
    else:
        print(str(comparison))
    if options.html is not None and write is not None:
        page = write(options.html, comparison, shlex.join(["innerloop", "compare", *argv]))
        print(f"page: {page}", stderr=options.common.json)
    return 0
