"""`innerloop ner undo <file>`."""

from innerloop.cli.options import parse, tell
from innerloop.cli.undo import Command
from innerloop.fewshot import paths


def run(argv: list[str]) -> int:
    """Take a file of `innerloop ner adapt` back by one version, or to any; what came after can come back."""
    options = parse(Command, argv, "ner undo", run.__doc__ or "")
    paths.existing(options.file)
    from innerloop.apps.ner.commands import changed, undo

    summary = undo(options.file, options.to, options.redo, options.common)
    return tell(summary, changed(summary), options.common)
