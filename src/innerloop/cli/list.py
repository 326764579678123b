"""`innerloop list`."""

from dataclasses import dataclass, field

from rich.table import Table

from innerloop.cli.options import Common, emit, parse, print
from innerloop.runs.contents import data_sets, learners, sources


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop list`."""

    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """The learners, the data sets, and what `innerloop adapt` takes without training."""
    options = parse(Command, argv, "list", run.__doc__ or "")
    if options.common.json:
        emit({"learners": learners(), "data": data_sets(), "sources": sources()})
        return 0
    tables = {"learner": learners(), "data set": data_sets(), "for innerloop adapt": sources()}
    for title, entries in tables.items():
        table = Table(title, "what it is")
        for name, about in entries.items():
            table.add_row(name, about)
        print(table)
    return 0
