"""`innerloop undo <file>`."""

from dataclasses import dataclass, field

import tyro

from innerloop.cli.options import Common, parse, tell
from innerloop.fewshot import paths


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop undo`."""

    file: tyro.conf.Positional[str]
    """What `innerloop adapt` wrote; it is written again."""
    to: int | None = None
    """A version of `innerloop show`; None: before the last change."""
    redo: bool = False
    """Take back the last undo instead."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Take a file back by one version, or to any; what came after stays in it and can come back."""
    options = parse(Command, argv, "undo", run.__doc__ or "")
    paths.existing(options.file)
    from innerloop.fewshot.commands import undo
    from innerloop.fewshot.summaries import changed

    summary = undo(options.file, options.to, options.redo, options.common)
    return tell(summary, changed(summary), options.common)
