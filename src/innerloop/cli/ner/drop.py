"""`innerloop ner drop <file> <type>`."""

from dataclasses import dataclass, field

import tyro

from innerloop.cli.options import Common, parse, tell
from innerloop.fewshot import paths


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop ner drop`."""

    file: tyro.conf.Positional[str]
    """What `innerloop ner adapt` wrote; it is written again."""
    type: tyro.conf.Positional[str]
    """The type to forget."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Take a type out of a file; its words belong to none from then on. `innerloop ner undo` brings it back."""
    options = parse(Command, argv, "ner drop", run.__doc__ or "")
    paths.existing(options.file)
    from innerloop.apps.ner.commands import changed, drop

    summary = drop(options.file, options.type, options.common)
    return tell(summary, changed(summary), options.common)
