"""`innerloop suggest <file> <data>`."""

from dataclasses import dataclass, field

import tyro

from innerloop.cli.options import Common, emit, parse, print
from innerloop.core.complaints import complain
from innerloop.core.names import printable
from innerloop.core.rules import By
from innerloop.fewshot import paths
from innerloop.tasks.columns import TableOptions


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop suggest`."""

    file: tyro.conf.Positional[str]
    """What `innerloop adapt` wrote; it is not changed."""
    data: tyro.conf.Positional[tuple[str, ...]]
    """Examples without labels, as in `innerloop predict`; labels in a table are left out."""
    n: int = 10
    """How many to label."""
    by: By = "margin"
    """What is called uncertain: a small margin between the first two classes, the entropy of all of them, or the mutual
    information of the answer and the member that gives it, for learners of several members."""
    table: TableOptions = field(default_factory=TableOptions)
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Say which of many examples to label next: uncertain ones, unlike what was taught, and like many others.

    With --json, one object a line: path, text or row, its place, the answer and the next class with their
    probabilities. Label them, and teach them with `innerloop add`.
    """
    options = parse(Command, argv, "suggest", run.__doc__ or "")
    paths.existing(options.file)
    from innerloop.fewshot.asking import suggest

    unread: list[str] = []
    notices: list[str] = []
    asked = (options.file, options.data or ("-",), options.n, options.common, options.table, unread)
    for one in suggest(*asked, by=options.by, notices=notices):
        if options.common.json:
            emit(one)
            continue
        example = next(str(one[key]) for key in ("path", "text", "row") if key in one)
        guesses = f"{one['answer']} {one['probability']:.2f}, {one['second']} {one['second_probability']:.2f}"
        print(f"{printable(example)}  ({printable(guesses)})")
    for message in [*notices, *unread]:
        complain(message)
    return 1 if unread else 0
