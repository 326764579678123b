"""`innerloop predict <file> <data>`."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import tyro
from rich.cells import cell_len, set_cell_size

from innerloop.cli.options import Common, emit, parse, print, tell
from innerloop.core.complaints import complain
from innerloop.core.names import printable
from innerloop.fewshot import answer_files, light, paths
from innerloop.tasks.columns import TableOptions

_NEAREST = 3


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop predict`."""

    file: tyro.conf.Positional[str]
    """What `innerloop adapt` wrote."""
    data: tyro.conf.Positional[tuple[str, ...]]
    """Pictures, folders and zips of pictures, tables or files of texts, npz files; none or -: standard input, one path
    or text a line."""
    strangers: Annotated[float | None, tyro.conf.arg(aliases=("--reject",))] = None
    """Another share of strangers that may pass than the file was adapted with."""
    coverage: float | None = None
    """In place of --strangers: the share of examples of the classes that are to be answered."""
    sets: float | None = None
    """Give the fewest classes that hold the right one in this share of cases, such as 0.9, as `set`."""
    explain: bool = False
    """Say why: name the 3 taught examples that are nearest to each, by class and number, with their distance."""
    out: str | None = None
    """Write the answers into this .csv, .tsv or .jsonl file, whole or not at all."""
    strict: bool = False
    """Answer nothing, with exit code 2, where one of the files cannot be read; else the others are answered, those are
    listed on standard error, and the exit code is 1."""
    table: TableOptions = field(default_factory=TableOptions)
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Name the class of examples. With --json, one object a line: path or text, class, probability of every class."""
    options = parse(Command, argv, "predict", run.__doc__ or "")
    if options.out is not None:
        answer_files.check(options.out)
    unread: list[str] = []
    answers = _answers(options, None if options.strict else unread)
    entries = _counted(list(answers) if options.strict else answers)
    if options.out is None:
        for entry in entries:
            _show(entry, options.common)
    else:
        count = answer_files.write(options.out, entries)
        tell({"file": options.out, "answers": count}, f"{count} answers kept in {options.out}", options.common)
    for message in unread:
        complain(message)
    return 1 if unread else 0


def _answers(options: Command, unread: list[str] | None) -> Iterable[dict[str, Any]]:
    paths.existing(options.file)
    places = options.data or ("-",)
    plain = options.strangers is None and options.coverage is None and options.sets is None and not options.explain
    # Where torch is there already, the ordinary road is as short.
    asked = light.asked(options.file, places, options.table) if plain and "torch" not in sys.modules else None
    if asked is not None and asked.answers is not None:
        return asked.answers
    from innerloop.fewshot.asking import predictions

    return predictions(
        options.file,
        places,
        options.strangers,
        options.common,
        options.table,
        unread,
        explain=_NEAREST if options.explain else 0,
        coverage=options.coverage,
        sets=options.sets,
        read=None if asked is None else asked.read,
    )


def _show(entry: dict[str, Any], common: Common) -> None:
    if common.json:
        emit(entry)
        return
    ranked = [(printable(label), p) for label, p in entry["probabilities"].items()]
    width = max(map(cell_len, ["none of these", *dict(ranked)]))  # Chinese characters take two columns each
    name, nearest = (printable(entry["class"]), ranked[:2]) if entry["accepted"] else ("none of these", ranked[:1])
    chances = ", ".join(f"{label} {p:.2f}" for label, p in nearest)
    example = printable(str(next(iter(entry.values()))))
    print(f"{set_cell_size(name, width)}  {example}  ({chances}{'' if entry['accepted'] else ' if it must be'})")
    if "set" in entry:
        doubt = "" if entry["accepted"] else " (if it must be)"
        print(f"{'':<{width}}  one of: {', '.join(map(printable, entry['set']))}{doubt}")
    if entry.get("nearest"):  # of a task that knows names alone there is none
        print(f"{'':<{width}}  nearest: {', '.join(map(_near, entry['nearest']))}")


def _near(one: dict[str, Any]) -> str:
    return f"{printable(one['label'])} #{one['number']} ({one['distance']:.3g})"


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
