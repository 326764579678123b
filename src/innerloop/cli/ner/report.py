"""`innerloop ner report <gold> <predicted>`."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from innerloop.cli.options import Common, emit, parse, print
from innerloop.core import files


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop ner report`."""

    gold: tyro.conf.Positional[str]
    """Sentences with their true entities, in a CoNLL or JSON file."""
    predicted: tyro.conf.Positional[str]
    """The same sentences in the same order with what was found, such as `innerloop ner predict` wrote."""
    mode: Literal["strict", "io"] = "strict"
    """strict: entities begin where tags say. io: words of one type side by side are one entity."""
    out: str | None = None
    """Also write it as a page (.html) that needs nothing else."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Measure predicted entities: four schemas, words by tag, boundary and type errors, mistakes in context."""
    options = parse(Command, argv, "ner report", run.__doc__ or "")
    from innerloop.apps.ner.report import report
    from innerloop.cli.ner.tables import show
    from innerloop.tasks.entities.files import read

    write = None
    if options.out is not None:
        from innerloop.report.entities import write_entities as write

        files.writable(Path(options.out).parent)
    measured = report(read(options.gold), read(options.predicted), mode=options.mode)
    if options.common.json:
        emit(measured.to_json())
    else:
        show(measured)
    if options.out is not None and write is not None:
        title = f"How good are the entities of {Path(options.predicted).name}?"
        command = shlex.join(["innerloop", "ner", "report", *argv])
        page = write(options.out, measured.to_json(), title=title, command=command)
        print(f"report: {page}", stderr=options.common.json)
    return 0
