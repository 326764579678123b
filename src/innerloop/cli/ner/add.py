"""`innerloop ner add <file> <data>`."""

from dataclasses import dataclass, field

import tyro

from innerloop.cli.options import Common, parse, tell
from innerloop.fewshot import paths


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop ner add`."""

    file: tyro.conf.Positional[str]
    """What `innerloop ner adapt` wrote; it is written again."""
    data: tyro.conf.Positional[str]
    """Tagged sentences as in `innerloop ner adapt`, of types that it knows or of new ones. A sentence with the words of
    a known one takes its place: so corrections are taught."""
    strict: bool = False
    """Refuse entities that begin with I- instead of B-."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Teach a file more tagged sentences; `innerloop ner undo` takes it back."""
    options = parse(Command, argv, "ner add", run.__doc__ or "")
    paths.existing(options.file)
    from innerloop.apps.ner.commands import add, changed

    summary = add(options.file, options.data, strict=options.strict, context=options.common)
    return tell(summary, changed(summary), options.common)
