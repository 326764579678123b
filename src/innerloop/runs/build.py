"""Options into a run."""

from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from innerloop.core.errors import InputError
from innerloop.core.objectives import regression
from innerloop.core.types import Sampler
from innerloop.problems.learner import check_fields, make_learner
from innerloop.runs import calibrate
from innerloop.runs.defaults import entry, learner_class
from innerloop.runs.options import FUNCTIONS, Options, TaskOptions
from innerloop.runs.record import record
from innerloop.runs.regressions import REGRESSIONS
from innerloop.runs.run import Run
from innerloop.runs.start import begin
from innerloop.tasks import BatchSampler, EpisodeSampler, Pool, Splits, TaskBatchSampler, UnsupervisedSampler
from innerloop.tasks.datasets import load
from innerloop.tasks.functions import FAMILIES, Functions


def build(options: Options, data_root: str | Path | None = None) -> Run:
    """The run that the options describe.

    Args:
        options: From `defaults`, with what is to be different replaced.
        data_root: Where data sets lie; None: `INNERLOOP_DATA`, or where they are downloaded to.

    Raises:
        InputError: There is no such learner, data set or network, or they do not fit together.
    """
    _check(options)
    if options.task.data == FUNCTIONS:
        run = optimisation(options)
    else:
        run = regress(options) if options.task.data in REGRESSIONS else classification(options, data_root)
    if options.network.start is None:
        return run
    start = begin(run.learner, options.train.seed, options.network.start)
    return replace(run, start=start, record=run.record | {"start": start.record})


def classification(options: Options, data_root: str | Path | None = None) -> Run:
    """A run on classes of examples: pictures, or arrays."""
    task, cls = options.task, learner_class(options.learner)
    sensible, stream = entry(cls, task.data), next((s for s in cls.trains_on if s != "functions"), None)
    if stream is None:
        raise InputError(f"{options.learner} is trained on functions: leave out --data {task.data}")
    splits = load(task.data, data_root, task.split_scheme)
    has, whole = {f.name for f in fields(cls)}, stream != "episodes"
    if task.train_ways not in (None, task.ways) and not whole and has & {"model", "head"}:
        raise InputError(
            f"{options.learner} learns a network with one output for each of {task.ways} classes, so it trains "
            f"with the ways it is tested with: leave out --train-ways {task.train_ways}, or take a learner for any "
            "number of classes (protonet)"
        )
    shots = task.shots if task.train_shots is None else task.train_shots
    if whole:
        _refuse_kinds_of_tasks(options.learner, task)
        make = BatchSampler if stream == "batches" else TaskBatchSampler
        train = make(pool=splits.train, batch_size=task.batch_size, seed=options.train.seed)
    else:
        ways = task.train_ways or task.ways
        if ways == sensible.task.get("train_ways"):  # a default gives way to data with fewer classes
            ways = max(min(ways, _classes(splits.train, task)), task.ways)
        train = _tasks(splits.train, task, ways, shots, options.train.seed)
    validation = None
    if options.train.validate_every:
        validation = EpisodeSampler(
            pool=splits.validation,
            ways=task.ways,
            shots=task.shots,
            queries=task.queries,
            unlabelled=task.unlabelled,
            distractors=task.distractors,
        )
    outputs = len(splits.train) if whole else task.ways
    choices = {
        k: v for k, v in sensible.choices.items() if options.fields.get(k) is None and len(splits.validation) > 1
    }
    return Run(
        learner=make_learner(cls, options.fields, splits.train.shape, outputs, options.network),
        train=train,
        validation=validation,
        test=partial(_test, splits, task.ways, task.shots),
        config=options.train,
        record=record(options, splits.train),
        splits=splits,
        choices=choices,
        choose_on=_choosing(splits.validation, task) if choices else None,
        calibrate_on=calibrate.tasks(splits.validation, task.ways, task.shots),
    )


def _tasks(pool: Pool, task: TaskOptions, ways: int, shots: int, seed: int) -> Sampler:
    """Meta-training tasks, with labels or without."""
    if not task.unsupervised:
        return EpisodeSampler(
            pool=pool,
            ways=ways,
            shots=shots,
            queries=task.queries,
            seed=seed,
            unlabelled=task.unlabelled,
            distractors=task.distractors,
            same_group=task.same_group,
        )
    if task.unlabelled or task.distractors or task.same_group:
        raise InputError(
            "unsupervised tasks are of single pictures, whose classes nobody knows: leave out --unlabelled, "
            "--distractors and --same-group"
        )
    return UnsupervisedSampler(pool=pool, ways=ways, shots=shots, queries=task.queries, seed=seed)


def _choosing(pool: Pool, task: TaskOptions) -> EpisodeSampler:
    """Meta-validation tasks to choose a hyper-parameter on; smaller ones where the classes do not suffice."""
    queries = max(1, min(15, int(pool.counts.min()) - task.shots))
    return EpisodeSampler(pool=pool, ways=min(task.ways, len(pool)), shots=task.shots, queries=queries)


def _refuse_kinds_of_tasks(learner: str, task: TaskOptions) -> None:
    given = [k for k in ("unlabelled", "distractors", "same_group", "unsupervised") if getattr(task, k)]
    if given:
        raise InputError(
            f"{learner} is trained on plain batches of labelled examples, not on tasks: leave out --{given[0]}"
        )


def _classes(pool: Pool, task: TaskOptions) -> int:
    """How many classes a meta-training task can have; without labels, every example is one."""
    return int(pool.counts.sum()) if task.unsupervised else len(pool) - task.distractors


def regress(options: Options) -> Run:
    """A run on a regression problem; three streams of tasks that never meet."""
    cls, task, seed = learner_class(options.learner), options.task, options.train.seed
    problem = REGRESSIONS[task.data]
    if "model" not in {f.name for f in fields(cls)}:
        raise InputError(
            f"{options.learner} tells classes apart; {task.data} is regression: try maml, meta_sgd or reptile"
        )
    shots = task.shots if task.train_shots is None else task.train_shots
    values: dict[str, Any] = {**options.fields, "model": problem.model, "objective": regression}
    return Run(
        learner=cls(**values),
        train=problem.tasks(0, seed, shots=shots, queries=task.queries),
        validation=problem.tasks(1, seed, shots=shots, queries=task.queries) if options.train.validate_every else None,
        test=partial(problem.tasks, 2, seed, shots=task.shots, queries=task.queries),
        config=options.train,
        record=record(options, None),
    )


def optimisation(options: Options) -> Run:
    """Functions to be minimised, of one family; three streams of them that never meet."""
    cls, family = learner_class(options.learner), options.task.family
    if "functions" not in cls.trains_on:
        raise InputError(f"{options.learner} is no learned optimizer: leave out --data {FUNCTIONS}, or train l2o")
    make, seed = partial(Functions, family=family), 3 * options.train.seed
    values: dict[str, Any] = {**options.fields, "value": FAMILIES[family][1]}
    return Run(
        learner=cls(**values),
        train=make(seed=seed),
        validation=make(seed=seed + 1) if options.train.validate_every else None,
        test=partial(make, seed=seed + 2),
        config=options.train,
        record=record(options, None),
    )


def _test(splits: Splits, ways: int, shots: int) -> EpisodeSampler:
    return EpisodeSampler(pool=splits.test, ways=ways, shots=shots, queries=15)


def _check(options: Options) -> None:
    check_fields(learner_class(options.learner), options.learner, options.fields)
    task = options.task
    for name in ("ways", "shots", "queries", "batch_size"):
        if getattr(task, name) < 1:
            raise InputError(f"{name} must be at least 1, got {getattr(task, name)}")
