"""`innerloop test <run>`."""

from dataclasses import dataclass, field

import tyro

from innerloop.cli.options import Common, emit, parse, say
from innerloop.recipes.measuring import MetaTestOptions, measure


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop test`."""

    run: tyro.conf.Positional[str]
    """Run folder."""
    tasks: MetaTestOptions = field(default_factory=MetaTestOptions)
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Meta-test a run on unseen tasks: mean and 95% interval over tasks, beside baselines on the same tasks."""
    options = parse(Command, argv, "test", run.__doc__ or "")
    tested = measure(options.run, options.tasks, options.common.data_root)
    if options.common.json:
        emit(tested.to_json())
        return 0
    say(str(tested.comparison))
    say(f"{tested.result.learner}: {tested.result}, {1000 * tested.result.seconds_per_task:.0f} ms a task")
    say(f"scores: {tested.file}\nreport: {tested.report}")
    return 0
