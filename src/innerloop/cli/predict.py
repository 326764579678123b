"""`innerloop predict <file> <data>`."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import tyro

from innerloop.cli.options import Common, emit, parse, print
from innerloop.core.names import printable
from innerloop.fewshot.commands import predictions
from innerloop.tasks.columns import TableOptions


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop predict`."""

    file: tyro.conf.Positional[str]
    """What `innerloop adapt` wrote."""
    data: tyro.conf.Positional[tuple[str, ...]]
    """Pictures, folders of pictures, tables or files of texts, npz files; none or -: standard input, one path or text a
    line."""
    reject: float | None = None
    """Another false-accept rate for "none of these" than the file was adapted with."""
    table: TableOptions = field(default_factory=TableOptions)
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Name the class of examples. With --json, one object a line: path or text, class, probability of every class."""
    options = parse(Command, argv, "predict", run.__doc__ or "")
    answers = predictions(options.file, options.data or ("-",), options.reject, options.common, options.table)
    for entry in _counted(answers):
        if options.common.json:
            emit(entry)
            continue
        ranked = [(printable(label), p) for label, p in entry["probabilities"].items()]
        width = max(len(label) for label in ["none of these", *dict(ranked)])
        name, nearest = (printable(entry["class"]), ranked[:2]) if entry["accepted"] else ("none of these", ranked[:1])
        chances = ", ".join(f"{label} {p:.2f}" for label, p in nearest)
        example = printable(str(next(iter(entry.values()))))
        print(f"{name:<{width}}  {example}  ({chances}{'' if entry['accepted'] else ' if it must be'})")
    return 0


def _counted(entries: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """With a count on standard error, where that is a terminal and the answers go elsewhere."""
    if sys.stdout.isatty() or not sys.stderr.isatty():
        yield from entries
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed:,} predicted"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        for entry in entries:
            yield entry
            bar.advance(task)
