"""Options into a run."""

from functools import partial
from typing import NoReturn

from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.problems.base import Problem
from innerloop.problems.learner import check_fields
from innerloop.runs.defaults import defaults, learner_class
from innerloop.runs.foresee import no_test, with_splits
from innerloop.runs.generator import both, put_before
from innerloop.runs.options import Options
from innerloop.runs.record import record
from innerloop.runs.run import Run
from innerloop.runs.start import begin
from innerloop.tasks.sealed import refusal


def build(options: Options, context: Context = Context(), sealed: bool = False) -> Run:
    """The run that the options describe.

    Args:
        options: From `defaults`, with what is to be different replaced.
        context: Where data sets lie and chosen plans are remembered, and whose networks may be named.
        sealed: Whether its meta-test is shut, because it is one of several to be chosen from: no tasks of it are made.

    Raises:
        InputError: There is no such learner, data set or network, or they do not fit together.
    """
    cls, problem, seed = learner_class(options.learner), options.task, options.train.seed
    check_fields(cls, options.learner, options.fields)
    problem.check()
    _refuse_unread(options)
    options.network.check(context.allow)
    options.generator.check()
    # Asked before the data are loaded: a pair that does not fit is refused in milliseconds, not after a download.
    stream = problem.stream(cls, options.learner)
    material = problem.load(context)
    # Only now is the shape of the data known, on which what suits a learner depends (ways that there are classes for).
    problem = problem.suited(cls, options.learner, material)
    if sealed:
        material = problem.sealed(material)
    sensible = problem.sensible(cls, problem.data)
    choices = {k: v for k, v in sensible.choices.items() if options.fields.get(k) is None}
    choosing = problem.choosing(material) if choices else None  # which small data refuse, where nothing is to choose
    splits = problem.splits(material)
    validated = options.train.validate_every > 0
    # A call later: a data set too small to be tested may still be trained on.
    test = (
        partial(_shut, problem)
        if sealed
        else partial(problem.after(problem, problem.data).episodes, material, "test", 0)
    )
    learner, start = problem.learner(cls, options.fields, options.network, material), None
    if options.network.start is not None:
        start = begin(learner, seed, options.network.start)
    if options.generator.generator is not None:
        learner, taken = put_before(learner, options.generator, problem, material, context)
        start = both(start, taken)
    about = record(options, problem.record(material))
    return Run(
        train=with_splits(lambda: problem.train(material, stream, seed), splits),
        validation=with_splits(lambda: problem.validation(material, seed), splits) if validated else None,
        test=test,
        notes=() if sealed else tuple(filter(None, (no_test(test, splits),))),
        learner=learner,
        config=options.train,
        record=about if start is None else about | {"start": start.record},
        start=start,
        # As asked for, not as suited: whoever repeats the command asks the same again.
        problem=options.task,
        splits=splits,
        choices=choices if choosing is not None else {},
        choose_on=choosing,
        calibrate_on=problem.calibrating(material) if learner.gives_probabilities else None,
        cache=context.cache,
    )


def _refuse_unread(options: Options) -> None:
    """Refuse settings of the training that were asked for, and that the update of the problem passes over.

    Raises:
        InputError: Naming the first.
    """
    task = options.task
    if not task.unread:
        return
    usual = defaults(options.learner, task.data, task.flags).train
    for name in task.unread:
        if getattr(options.train, name) != getattr(usual, name):
            raise InputError(
                f"--{name.replace('_', '-')} is not read where the update itself decides how far a meta-step goes: "
                "leave it out, or choose another --update"
            )


def _shut(problem: Problem) -> NoReturn:
    raise refusal(problem.data)
