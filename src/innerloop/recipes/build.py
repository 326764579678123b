"""Options into a run."""

from dataclasses import MISSING, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.objectives import regression
from innerloop.nn.mlp import MLP, Linear
from innerloop.recipes.defaults import entry, hyper_parameters, learner_class
from innerloop.recipes.nearest import nearest
from innerloop.recipes.networks import features, network
from innerloop.recipes.options import SINUSOID, Options
from innerloop.recipes.record import record
from innerloop.recipes.run import Run
from innerloop.tasks import BatchSampler, EpisodeSampler, Sinusoid, Splits
from innerloop.tasks.datasets import load


def build(options: Options, data_root: str | Path | None = None) -> Run:
    """The run that the options describe.

    Args:
        options: From `defaults`, with what is to be different replaced.
        data_root: Where data sets lie; None: `INNERLOOP_DATA`, or where they are downloaded to.

    Raises:
        InputError: There is no such learner, data set or network, or they do not fit together.
    """
    _check(options)
    return sinusoid(options) if options.task.data == SINUSOID else classification(options, data_root)


def classification(options: Options, data_root: str | Path | None = None) -> Run:
    """A run on classes of examples: pictures, or arrays."""
    task, row = options.task, entry(options.learner, options.task.data)
    splits = load(task.data, data_root, task.cut)
    has = {f.name for f in fields(learner_class(options.learner))}
    if task.train_ways not in (None, task.ways) and not row.batches and has & {"model", "head"}:
        raise InputError(
            f"{options.learner} learns a network with one output for each of {task.ways} classes, so it trains "
            f"with the ways it is tested with: leave out --train-ways {task.train_ways}, or take a learner for any "
            "number of classes (protonet)"
        )
    shots = task.shots if task.train_shots is None else task.train_shots
    if row.batches:
        train = BatchSampler(pool=splits.train, batch_size=task.batch_size, seed=options.train.seed)
    else:
        ways = task.train_ways or task.ways
        if ways == row.task.get("train_ways"):  # a default gives way to data with fewer classes
            ways = max(min(ways, len(splits.train)), task.ways)
        train = EpisodeSampler(pool=splits.train, ways=ways, shots=shots, queries=task.queries, seed=options.train.seed)
    validation = None
    if options.train.validate_every:
        validation = EpisodeSampler(pool=splits.validation, ways=task.ways, shots=task.shots, queries=task.queries)
    outputs = len(splits.train) if row.batches else task.ways
    return Run(
        learner=_learner(options, splits.train.shape, outputs),
        train=train,
        validation=validation,
        test=partial(_test, splits, task.ways, task.shots),
        config=options.train,
        record=record(options, splits.train),
        splits=splits,
    )


def sinusoid(options: Options) -> Run:
    """MAML's sinusoids: regression of [1] on [1]; three streams of tasks that never meet."""
    cls, task = learner_class(options.learner), options.task
    if "model" not in {f.name for f in fields(cls)}:
        raise InputError(
            f"{options.learner} tells classes apart; sinusoids are regression: try maml, meta_sgd or reptile"
        )
    make = partial(Sinusoid, shots=task.shots if task.train_shots is None else task.train_shots, queries=task.queries)
    values: dict[str, Any] = {**options.fields, "model": MLP(hidden=(40, 40)), "objective": regression}
    return Run(
        learner=cls(**values),
        train=make(seed=3 * options.train.seed),
        validation=make(seed=3 * options.train.seed + 1) if options.train.validate_every else None,
        test=partial(Sinusoid, shots=task.shots, queries=task.queries, seed=3 * options.train.seed + 2),
        config=options.train,
        record=record(options, None),
    )


def _test(splits: Splits, ways: int, shots: int) -> EpisodeSampler:
    return EpisodeSampler(pool=splits.test, ways=ways, shots=shots, queries=15)


def _learner(options: Options, shape: tuple[int, ...], outputs: int) -> Learner:
    """The learner with default networks in the fields that hold one."""
    cls = learner_class(options.learner)
    has = {f.name for f in fields(cls)}
    values: dict[str, Any] = dict(options.fields)
    if "model" in has:
        values["model"] = network(shape, outputs, options.network)
    if "encoder" in has and options.network.network != "none":
        values["encoder"] = network(shape, None, options.network)
    needed = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
    if "encoder" in needed and "encoder" not in values:
        raise InputError(f"{options.learner} needs a network: choose conv4, resnet12 or mlp")
    if "head" in has:
        values["head"] = Linear(inputs=features(values["encoder"]), outputs=outputs)
    try:
        return cls(**values)
    except TypeError as error:
        raise InputError(f"{options.learner} cannot be made from these options: {error}") from error


def _check(options: Options) -> None:
    own = hyper_parameters(learner_class(options.learner))
    for name in options.fields:
        if name not in own:
            raise InputError(f"{options.learner} has no hyper-parameter '{name}'{nearest(name, own)}")
    task = options.task
    for name in ("ways", "shots", "queries", "batch_size"):
        if getattr(task, name) < 1:
            raise InputError(f"{name} must be at least 1, got {getattr(task, name)}")


def with_fields(options: Options, **changes: Any) -> Options:
    """The options with other hyper-parameters of the learner."""
    return replace(options, fields=options.fields | changes)
