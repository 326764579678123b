"""A generator of tasks before the learner of a run: a new one, or one that another run has trained."""

from typing import Any

from innerloop.core import tree
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.engine import load
from innerloop.engine.checkpoint import fingerprint, read_config
from innerloop.learners.generative.task_generator import TaskGenerator
from innerloop.problems.base import Problem
from innerloop.problems.classes import trained_on
from innerloop.runs.defaults import defaults, learner_class
from innerloop.runs.options import GeneratorOptions
from innerloop.runs.start import Start

_NEW, _USUAL = "new", "viml"


def put_before(
    learner: Learner[Any], options: GeneratorOptions, problem: Problem[Any], material: Any, context: Context
) -> tuple[TaskGenerator[Any], Start | None]:
    """The learner behind the generator that is asked for, and with what the generator begins.

    Args:
        learner: As made for the tasks.
        options: Which generator; one is named.
        problem: The tasks.
        material: As of `problem.load`.
        context: Whose networks may be named.

    Raises:
        InputError: What is named makes no examples, or of other data; or the learner is trained on no tasks of classes.
    """
    name = type(learner).__name__
    if problem.target != "classes" or "episodes" not in learner.trains_on:
        raise InputError(f"a generator makes tasks of classes, and {name} is trained on none: leave out --generator")
    asked: dict[str, Any] = {k: v for k, v in vars(options).items() if k != "generator"}
    if options.generator == _NEW:
        usual = defaults(_USUAL, problem.data)
        generator = problem.learner(learner_class(_USUAL), usual.fields, usual.network, material)
        return TaskGenerator(learner=learner, generator=generator, **asked), None
    generator, params = load(str(options.generator), context.allow)
    record = read_config(str(options.generator)).get("record") or {}
    shape, trained = problem.record(material).get("shape"), record.get("shape")
    if trained is not None and shape != trained:
        raise InputError(
            f"{options.generator} makes examples of shape {trained}, and those of {problem.data} have {shape}: take "
            "one that was trained on data of this shape, or --generator new"
        )
    try:
        whole = TaskGenerator(learner=learner, generator=generator, **asked)
    except InputError as error:
        raise InputError(f"{options.generator}: {error}") from error
    start = tree.join(generator=params)
    # Classes that it has seen count as seen by this run: testing on them is refused.
    about = {"hash": fingerprint(start), "taken": len(start), "trained_on": trained_on(record)}
    return whole, Start(run=str(options.generator), params=start, new=tuple(learner.init(0)), left=(), record=about)


def both(one: Start | None, other: Start | None) -> Start | None:
    """Parameters of two runs to begin with: those of a learner, and of a generator before it."""
    if one is None or other is None:
        return one or other
    params = one.params | other.params
    seen = one.record["trained_on"] + other.record["trained_on"]
    return Start(
        run=f"{one.run} and {other.run}",
        params=params,
        new=one.new,
        left=one.left,
        record={"hash": fingerprint(params), "taken": len(params), "trained_on": seen},
    )
