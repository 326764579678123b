"""`innerloop test <run>`."""

from dataclasses import dataclass, field, replace
from typing import Literal

import tyro

from innerloop.cli.options import Common, emit, parse, print, refuse_given, with_data
from innerloop.continual.measure import StreamTestOptions, follows_stream
from innerloop.continual.report import reported
from innerloop.runs.active import ActiveOptions, active_run
from innerloop.runs.generation import JudgeOptions, examine_and_judge
from innerloop.runs.measure import MetaTestOptions
from innerloop.runs.shots import shots_run
from innerloop.track.watcher import Name, for_test, send_test


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop test`."""

    run: tyro.conf.Positional[str]
    """Run folder."""
    tasks: MetaTestOptions = field(default_factory=MetaTestOptions)
    labels: ActiveOptions = field(default_factory=ActiveOptions)
    generated: JudgeOptions = field(default_factory=JudgeOptions)
    stream: StreamTestOptions = field(default_factory=StreamTestOptions)
    track: tuple[Name | Literal["none"], ...] = ()
    """Send result, curves and pictures to these; none given: to those that the run was trained with; none: to
    nobody."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Meta-test a run on unseen tasks: mean and 95% interval over tasks, beside baselines on the same tasks.

    A learned optimizer is run to 1, 2 and 5 times its training horizon, beside tuned SGD, momentum, RMSprop and Adam.
    Of a run that generates pictures, a classifier trained on other classes judges them too.
    With several --shots: the score by the number of labels, what each buys, and a forecast of ten more.
    With --active, labels are bought one by one, as `innerloop suggest` would and at random.
    Of a run on a stream: what it kept of every task, beside fine-tuning and the same rows in random order.
    """
    options = parse(Command, with_data(argv), "test", run.__doc__ or "")
    options.labels.check()
    shots = options.tasks.shots
    if isinstance(shots, tuple) and len(shots) == 1:  # as typed, or by a list of one
        shots, options = shots[0], replace(options, tasks=replace(options.tasks, shots=shots[0]))
    if follows_stream(options.run):
        why = "of runs on tasks, and this one follows a stream"
        refuse_given(why, options.tasks, options.labels, keep=("baselines",))
        tested = reported(options.run, options.stream, options.tasks.baselines, options.common)
    elif options.labels.active is not None:
        tested = active_run(options.run, options.tasks, options.labels, options.common)
    elif isinstance(shots, tuple):
        tested = shots_run(options.run, options.tasks, shots, options.common)
    else:
        trackers = for_test(options.run, options.track)
        tested = examine_and_judge(options.run, options.tasks, options.generated, options.common)
        send_test(options.run, trackers)
    if options.common.json:
        emit(tested.to_json())
        return 0
    print(str(tested))
    return 0
