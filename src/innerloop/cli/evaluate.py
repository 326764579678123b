"""`innerloop evaluate <file> [data]`."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from innerloop.cli.evaluation_tables import show
from innerloop.cli.options import Common, counted, emit, parse, print, refuse_given, tell
from innerloop.core import files
from innerloop.fewshot import paths
from innerloop.tasks.columns import TableOptions


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop evaluate`."""

    file: tyro.conf.Positional[str]
    """What `innerloop adapt` wrote; it is not changed."""
    data: tyro.conf.Positional[str | None] = None
    """Labelled examples as in `innerloop adapt`, which it has not learned from; none: its own, by cross-validation."""
    all: bool = False
    """Show every class and wrong answer; otherwise the worst 10."""
    csv: str | None = None
    """Also write the table of classes into this file."""
    report: str | None = None
    """Also write report.html into this folder: tables and figures on a page that needs nothing else."""
    shots: tuple[int, ...] = ()
    """Instead: how good it is with so many of its examples of each class (1 2 5), and what ten more would bring."""
    table: TableOptions = field(default_factory=TableOptions)
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Say how good a task is: accuracy, every class, what is confused, how far probabilities can be believed."""
    options = parse(Command, argv, "evaluate", run.__doc__ or "")
    paths.existing(options.file)
    if options.shots:
        return _by_shots(options)
    from innerloop.fewshot.asking import evaluate

    write = None
    # Before anything is asked, which may take minutes: what cannot be written is told at once.
    if options.report is not None:
        from innerloop.report.evaluation import write_evaluation as write

        files.writable(Path(options.report))
    if options.csv is not None:
        files.writable(Path(options.csv).parent)
    with counted("asked") as progress:
        result = evaluate(options.file, options.data, context=options.common, table=options.table, progress=progress)
    if options.common.json:
        emit(result.to_json())
    else:
        show(result, whole=options.all)
    if options.csv is not None:
        files.write(Path(options.csv), result.to_csv())
        print(f"table: {options.csv}", stderr=options.common.json)
    if options.report is not None and write is not None:
        page = write(options.report, result, command=shlex.join(["innerloop", "evaluate", *argv]))
        print(f"report: {page}", stderr=options.common.json)
    return 0


def _by_shots(options: Command) -> int:
    from innerloop.fewshot.asking import evaluate_shots

    refuse_given("of the whole task, and --shots of a part", options, keep=("file", "data", "shots", "table", "common"))
    asked, ways = (options.file, options.data, options.shots), {"context": options.common, "table": options.table}
    with counted("taught and asked") as progress:
        result = evaluate_shots(*asked, **ways, progress=progress)
    about = options.data or "its own examples, a fifth held out at a time"
    how = f"asked: {about}; mean of five draws of what is taught; intervals over what is asked"
    return tell({"task": options.file} | result.to_json(), f"{result}\n{how}", options.common)
