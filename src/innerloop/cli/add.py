"""`innerloop add <file> <data>`."""

from dataclasses import dataclass, field

import tyro

from innerloop.cli.options import Common, parse, tell
from innerloop.fewshot import paths
from innerloop.fewshot.examples import listed
from innerloop.tasks.columns import TableOptions


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop add`."""

    file: tyro.conf.Positional[str]
    """What `innerloop adapt` wrote; it is written again."""
    data: tyro.conf.Positional[str | None] = None
    """Labelled examples as in `innerloop adapt`, of classes that it knows or of new ones. It may be left out where
    --classes are given."""
    classes: str | None = None
    """Names of new classes, with commas between them, that an encoder of texts knows without examples."""
    feedback: bool = False
    """They came in use: they are asked before they are learned, and `innerloop show` tells drift by the answers."""
    table: TableOptions = field(default_factory=TableOptions)
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Teach a file more examples or more classes; `innerloop undo` takes it back."""
    options = parse(Command, argv, "add", run.__doc__ or "")
    paths.existing(options.file)
    from innerloop.fewshot.commands import add
    from innerloop.fewshot.summaries import changed

    named = listed(options.classes)
    summary = add(options.file, options.data, options.common, options.table, classes=named, feedback=options.feedback)
    return tell(summary, changed(summary), options.common)
