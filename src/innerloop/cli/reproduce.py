"""`innerloop reproduce <data set>`."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import tyro

from innerloop.cli.options import Common, emit, parse, print
from innerloop.core.errors import InputError
from innerloop.runs.papers import rows
from innerloop.studies.reproduce import SuiteOptions, known, reproduce
from innerloop.studies.reproductions import listed, table_of, write_table


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop reproduce`."""

    data: tyro.conf.Positional[str]
    """A data set that papers report numbers on: omniglot, sinusoid, clinc150, banking77."""
    suite: SuiteOptions = field(default_factory=SuiteOptions)
    out: str | None = None
    """Folder of the runs; asked for again, it goes on. None: reproductions/<data set>."""
    table: str = "docs/reproductions.md"
    """Page that the table is written into, in the place of an earlier one of this data set."""
    train: bool = True
    """Train and test what is missing; otherwise only the table of what there is is written."""
    list: bool = False
    """Print the rows with what papers and others report, and train nothing."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Train and test what papers report, and write our numbers beside theirs.

    Every row and seed is a run of its own; whatever was interrupted goes on, and what is finished is not trained again.
    """
    command = parse(Command, argv, "reproduce", run.__doc__ or "")
    data, options, common = command.data, command.suite, command.common
    if command.list:
        chosen = rows(data, options.rows)
        if common.json:
            emit([one._asdict() for one in listed(chosen)])
        else:
            print("\n".join(map(str, listed(chosen))))
        return 0
    out = command.out or f"reproductions/{data}"
    if command.train:
        reproduce(data, options, out, common, partial(print, stderr=True))
    elif not known(data, options, Path(out)):
        raise InputError(
            f"{out} holds no trainings of '{data}', and an empty table would take the place of the one in "
            f"{command.table}: name their folder with --out, or leave out --no-train"
        )
    table = table_of(data, options, out)
    write_table(command.table, table)
    if common.json:
        emit(table.to_json() | {"runs": out, "table": command.table})
    else:
        print(f"{table}\n\nruns: {out}\ntable: {command.table}")
    return 0
