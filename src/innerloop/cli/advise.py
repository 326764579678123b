"""`innerloop advise <data>`."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from innerloop.advice.advise import AdviceOptions, advise
from innerloop.cli.options import Common, parse, print, tell
from innerloop.core import files
from innerloop.tasks.columns import TableOptions


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop advise`."""

    data: tyro.conf.Positional[str]
    """Labelled examples: a folder or zip with a sub-folder of pictures, sounds or .txt files for each class, an .npz of
    x and y, a table of texts, or a data set by name."""
    out: str | None = None
    """Also write report.html into this folder, with everything that the advice rests on, and advice.json."""
    how: AdviceOptions = field(default_factory=AdviceOptions)
    table: TableOptions = field(default_factory=TableOptions)
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Say what to do with labelled data: what to use, what to expect, what would help, and the commands to go on.

    Examples are held out of them, and everything that there is without training is tried on the same episodes; where
    there are 25 classes or more, so are two short meta-trainings. Ten lines, and one to three minutes of a processor.
    """
    options = parse(Command, argv, "advise", run.__doc__ or "")
    write = None
    if options.out is not None:  # before anything is tried: what cannot be written is said at once
        from innerloop.report.advice import write_advice as write

        files.writable(Path(options.out))
    result = advise(
        options.data, options.how, options.common, options.table, lambda stage: print(f"{stage} ...", stderr=True)
    )
    tell(result.to_json(), str(result), options.common)
    if options.out is not None and write is not None:
        page = write(options.out, result.to_json(), result.tables(), shlex.join(["innerloop", "advise", *argv]))
        print(f"report: {page}", stderr=options.common.json)
    return 0
