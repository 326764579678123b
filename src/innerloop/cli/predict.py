"""`innerloop predict <file> <pictures>`."""

from dataclasses import dataclass, field

import tyro
from rich.table import Table

from innerloop.cli.options import Common, emit, parse, say
from innerloop.recipes.adapting import predictions


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop predict`."""

    file: tyro.conf.Positional[str]
    """What `innerloop adapt` wrote."""
    pictures: tyro.conf.Positional[tuple[str, ...]]
    """Pictures, or folders of pictures."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Name the class of pictures. With --json, one object a line: path, class, probability of every class."""
    options = parse(Command, argv, "predict", run.__doc__ or "")
    found = list(predictions(options.file, list(options.pictures)))
    if options.common.json:
        for entry in found:
            emit(entry)
        return 0
    table = Table("picture", "class", "probability", "next")
    for entry in found:
        best, *rest = entry["probabilities"].items()
        table.add_row(entry["path"], best[0], f"{best[1]:.2f}", f"{rest[0][0]} {rest[0][1]:.2f}")
    say(table)
    return 0
