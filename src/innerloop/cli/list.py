"""`innerloop list`."""

from dataclasses import dataclass, field

from rich.table import Table

from innerloop.cli.options import Common, emit, parse, print
from innerloop.core.kept import Kept, installation


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop list`."""

    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """The learners, the data sets, and what `innerloop adapt` takes without training."""
    options = parse(Command, argv, "list", run.__doc__ or "")
    kept = Kept("contents", installation(), options.common)
    if (contents := kept.read()) is None:  # which takes a second: everything is imported, and torch with it
        from innerloop.runs.contents import contents as everything

        kept.write(contents := everything())
    if options.common.json:
        emit(contents)
        return 0
    titles = {"learners": "learner", "data": "data set", "sources": "for innerloop adapt"}
    for part, title in titles.items():
        table = Table(title, "what it is")
        for name, about in contents[part].items():
            table.add_row(name, about)
        print(table)
    return 0
