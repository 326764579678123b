"""What a run uses unless told otherwise: what learners say of themselves, and what is usual for some data."""

from typing import get_args

from innerloop.core.config import RENAMED_LEARNERS
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.nearest import nearest
from innerloop.core.sensible import Sensible, Stream
from innerloop.engine import TrainConfig
from innerloop.learners import catalogue
from innerloop.problems.learner import hyper_parameters
from innerloop.runs.options import DYNAMICS, FUNCTIONS, SINUSOID, NetworkOptions, Options, TaskOptions

_USUAL = {
    SINUSOID: Sensible(fields={"inner_lr": 0.01}, task={"shots": 10, "queries": 10}, train={"meta_batch_size": 25}),
    DYNAMICS: Sensible(
        fields={"inner_lr": 0.1, "inner_steps": 5},
        task={"shots": 16, "queries": 16},
        train={"meta_batch_size": 25, "meta_lr": 2e-3, "schedule": "cosine"},
    ),
    FUNCTIONS: Sensible(
        train={
            "meta_batch_size": 128,
            "meta_lr": 1e-2,
            "clip": 1.0,
            "schedule": "cosine",
            "estimator": "truncated",
            "validate_every": 100,
        }
    ),
}
"""By data, for learners that say nothing of it."""
_CLASSES = TaskOptions().data


def entry(cls: type[Learner], data: str = _CLASSES) -> Sensible:
    """What is sensible to start from for a learner on some data: what it says itself, or what is usual there."""
    kind = data if data in _USUAL else "classes"
    return cls.sensible.get(kind.replace("-", "_")) or _USUAL.get(kind) or Sensible()


def defaults(learner: str, data: str = "kanji") -> Options:
    """What a run uses unless told otherwise.

    Args:
        learner: Name in the catalogue.
        data: See `TaskOptions.data`; regression has its own defaults.

    Raises:
        InputError: There is no such learner.
    """
    learner = RENAMED_LEARNERS.get(learner, learner)
    cls = learner_class(learner)
    if data == _CLASSES and cls.trains_on[0] == "functions":
        data = FUNCTIONS
    row, own = entry(cls, data), hyper_parameters(cls)
    return Options(
        learner=learner,
        task=TaskOptions(**{"data": data, **row.task}),
        network=NetworkOptions(**row.network),
        fields={k: row.fields.get(k, v) for k, v in own.items()},
        train=TrainConfig(**row.train),
    )


def learner_class(name: str) -> type[Learner]:
    """A learner by its name.

    Raises:
        InputError: There is none, where the message names the nearest, or it does not say what it is trained on.
    """
    found, name = catalogue(), RENAMED_LEARNERS.get(name, name)
    if name not in found:
        raise InputError(f"there is no learner '{name}'{nearest(name, found)}")
    if "trains_on" not in vars(found[name]):
        streams = ", ".join(get_args(Stream))
        raise InputError(f"{found[name].__name__} does not say what it is trained on: set its trains_on, of {streams}")
    return found[name]
