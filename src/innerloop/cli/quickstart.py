"""`innerloop quickstart`."""

from dataclasses import dataclass, field
from functools import partial

from rich.table import Table

from innerloop.cli.evaluation_tables import show
from innerloop.cli.options import Common, emit, parse, print
from innerloop.evaluate.result import ONE_TRAINING
from innerloop.runs.quickstart import Quickstart, QuickstartOptions, Training, quickstart


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop quickstart`."""

    what: QuickstartOptions = field(default_factory=QuickstartOptions)
    protonet_steps: int = 700
    """Meta-steps of two 20-way tasks."""
    maml_steps: int = 250
    """Meta-steps of eight tasks."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Train ProtoNet and MAML, test both beside pixels, learn five new characters, and name pictures of them."""
    options = parse(Command, argv, "quickstart", run.__doc__ or "")
    # Pinned, so that two people get the same numbers; on a few cores these are the fastest plans.
    same = {"plan": "threads", "schedule": "cosine"}
    own = {"meta_batch_size": 2, "meta_lr": 5e-3, "layout": "channels_last"}
    trainings = (
        Training("protonet", same | own | {"steps": options.protonet_steps}),
        Training("maml", same | {"steps": options.maml_steps, "chunk": 4, "layout": "mixed"}),
    )
    result = quickstart(options.what, trainings, options.common, partial(print, stderr=True))
    if options.common.json:
        emit(result.to_json())
    else:
        _show(result, options.what)
    return 0


def _show(result: Quickstart, options: QuickstartOptions) -> None:
    for data, rows in result.tables:
        conditions = rows[0].result.conditions
        table = Table("learner", "accuracy", "against pixels", "trained", "a task", title=f"{data}: {conditions}")
        for row in rows:
            each = f"{1000 * row.result.seconds_per_task:.1f} ms"
            trained = "" if row.trained is None else f"{row.trained:.0f} s"
            table.add_row(row.name, row.result.number, row.difference, trained, each)
        print(table)
    print(f"± is a 95% interval over tasks; differences are paired, task by task; {ONE_TRAINING}")
    examples = ", ".join(f"{name} ({n})" for name, n in result.adapted["examples"].items())
    print(f"new characters learned in {result.adapted['seconds']:.2f} s, from so many pictures: {examples}")
    print(f"{result.right} of {len(result.answers)} further pictures of them are named rightly")
    show(result.evaluation)
    if result.reports:
        print("reports: " + ", ".join(map(str, result.reports)))
    print(f"next: innerloop adapt {options.out}/protonet <your pictures> --out mine.fewshot")
    print(f"{result.seconds:.0f} s in all")
