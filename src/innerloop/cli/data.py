"""`innerloop data <name>`."""

from dataclasses import dataclass, field

import tyro
from rich.table import Table

from innerloop.cli.options import Common, emit, parse, print
from innerloop.core.names import printable
from innerloop.runs.describe import DescribeOptions, describe


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop data`."""

    name: tyro.conf.Positional[str]
    """A data set (see `innerloop list`), a folder with a sub-folder of pictures for each class, an .npz file, or a
    table of texts."""
    what: DescribeOptions = field(default_factory=DescribeOptions)
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Draw, download or read a data set, and print what is in it and how hard it is."""
    options = parse(Command, argv, "data", run.__doc__ or "")
    description = describe(options.name, options.what, options.common)
    if options.common.json:
        emit(description.to_json())
        return 0
    table = Table("split", "classes", "examples", "a class", "groups")
    for name, split in description.splits.items():
        groups = ", ".join(f"{group} {n}" for group, n in split["groups"].items())
        each = f"{split['fewest']}" if split["fewest"] == split["most"] else f"{split['fewest']} to {split['most']}"
        table.add_row(name, f"{split['classes']:,}", f"{split['examples']:,}", each, groups)
    print(f"{description.dataset}: examples of shape {list(description.shape)}")
    print(table)
    result = description.difficulty
    print(f"difficulty: {f'not measured, {description.note}' if result is None else f'{result.learner} {result}'}")
    if description.map is not None:
        print(f"map, of examples as they are: {printable(str(description.map))}")
    return 0
