"""`innerloop drop <file> <class>`."""

from dataclasses import dataclass, field

import tyro

from innerloop.cli.options import Common, parse, tell
from innerloop.fewshot import paths


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop drop`."""

    file: tyro.conf.Positional[str]
    """What `innerloop adapt` wrote; it is written again."""
    label: tyro.conf.Positional[str]
    """The class to forget."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Take a class out of a file; `innerloop undo` brings it back."""
    options = parse(Command, argv, "drop", run.__doc__ or "")
    paths.existing(options.file)
    from innerloop.fewshot.commands import drop
    from innerloop.fewshot.summaries import changed

    summary = drop(options.file, options.label, options.common)
    return tell(summary, changed(summary), options.common)
