"""Where algorithms differ in what is sensible: one table, measured in `docs/algorithms.md`."""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, get_args, get_origin

from innerloop.core.config import RENAMED_LEARNERS
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.model import Model
from innerloop.core.nearest import nearest
from innerloop.engine import TrainConfig
from innerloop.learners import catalogue
from innerloop.runs.options import DYNAMICS, FUNCTIONS, SINUSOID, NetworkOptions, Options, TaskOptions
from innerloop.tasks import BatchSampler, TaskBatchSampler


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row of the table: what to set differently for an algorithm."""

    fields: dict[str, Any] = field(default_factory=dict)
    """Hyper-parameters, taken where the learner has them."""
    task: dict[str, Any] = field(default_factory=dict)
    network: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    batches: type[BatchSampler] | type[TaskBatchSampler] | None = None
    """Of meta-training examples with their class numbers, for learners that are trained on them instead of on tasks."""
    choices: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """What is chosen from these values on meta-validation tasks once it is trained, unless it is given."""


_METRIC = Entry(task={"train_ways": 20}, train={"meta_batch_size": 1})
_GRADIENT = Entry(
    # Trained with the statistics of the query batch, as in the papers; tested without, unless asked.
    fields={"inner_lr": 0.5, "transductive": True},
    train={"meta_batch_size": 8, "meta_lr": 5e-3},
)
_TABLE = {
    # The paper's pull of 2 with 16 steps of 0.5 overshoots on Conv-4 and learns nothing in 100 meta-steps.
    "imaml": Entry(
        fields={"decay": 0.5, "inner_steps": 5, "transductive": True}, train={"meta_batch_size": 8, "meta_lr": 5e-3}
    ),
    "reptile": Entry(
        # The paper's 1e-3 is for 100,000 meta-steps: after 150 of them it has hardly moved.
        fields={"inner_lr": 1e-2, "inner_batch": 10, "transductive": True},
        task={"train_shots": 10},
        train={"meta_batch_size": 5, "optimizer": "sgd", "meta_lr": 1.0, "schedule": "linear"},
    ),
    # With 1, as the learner has it, it stays 3 points below on Omniglot with 300 episodes.
    "r2d2": Entry(fields={"decay": 20.0}, task={"train_ways": 20}, train={"meta_batch_size": 1}),
    "soft_kmeans": Entry(task={"train_ways": 20, "unlabelled": 5}, train={"meta_batch_size": 1}),
    "maml_plus_plus": Entry(
        fields={"inner_lr": 0.1, "transductive": True},
        train={"meta_batch_size": 8, "meta_lr": 5e-3, "schedule": "cosine"},
    ),
    "meta_lstm": Entry(task={"shots": 5}, train={"meta_batch_size": 4, "meta_lr": 5e-3, "clip": 1.0}),
    "fine_tune": Entry(batches=BatchSampler, train={"meta_batch_size": 1}),
    "simple_shot": Entry(batches=BatchSampler, train={"meta_batch_size": 1}),
    "linear_probe": Entry(
        batches=BatchSampler, train={"meta_batch_size": 1}, choices={"C": (1.0, 0.1, 10.0, 0.01, 100.0)}
    ),
    # As many examples a step as the others, of several tasks.
    "multi_task": Entry(batches=TaskBatchSampler, task={"batch_size": 16}, train={"meta_batch_size": 4}),
    "siamese": Entry(task={"train_ways": 20}, train={"meta_batch_size": 1, "meta_lr": 3e-3}),
    "self_supervised": Entry(
        task={"train_ways": 64, "train_shots": 1, "queries": 1, "unsupervised": True}, train={"meta_batch_size": 1}
    ),
    "l2o": Entry(fields={"inner_steps": 5, "transductive": True}, train={"meta_batch_size": 8, "meta_lr": 5e-3}),
    "nearest_centroid": Entry(network={"network": "none"}, train={"steps": 0}),
}
_SINUSOID = Entry(fields={"inner_lr": 0.01}, task={"shots": 10, "queries": 10}, train={"meta_batch_size": 25})
_SINUSOID_TABLE = {
    "reptile": Entry(
        fields={"inner_lr": 0.02, "inner_optimizer": "sgd", "inner_steps": 32, "inner_batch": 5},
        train={"meta_batch_size": 1, "optimizer": "sgd", "meta_lr": 0.1, "schedule": "linear", "steps": 30000},
    ),
}
_DYNAMICS = Entry(
    fields={"inner_lr": 0.1, "inner_steps": 5},
    task={"shots": 16, "queries": 16},
    train={"meta_batch_size": 25, "meta_lr": 2e-3, "schedule": "cosine"},
)
_FUNCTIONS = Entry(
    train={
        "meta_batch_size": 128,
        "meta_lr": 1e-2,
        "clip": 1.0,
        "schedule": "cosine",
        "estimator": "truncated",
        "validate_every": 100,
    }
)
_USUAL = TaskOptions().data
_OWN_DATA = {"l2o": FUNCTIONS}
"""Of learners whose usual tasks are not classes of pictures."""


def entry(name: str, data: str = "kanji") -> Entry:
    """The row of an algorithm; learners that are not in the table go by which network they have."""
    if data == SINUSOID:
        return _SINUSOID_TABLE.get(name, _SINUSOID)
    if data == DYNAMICS:
        return _DYNAMICS
    if data == FUNCTIONS:
        return _FUNCTIONS
    has = {f.name for f in fields(learner_class(name))}
    return _TABLE.get(name, _METRIC if "encoder" in has and "head" not in has else _GRADIENT)


def defaults(learner: str, data: str = "kanji") -> Options:
    """What a run uses unless told otherwise.

    Args:
        learner: Name in the catalogue.
        data: See `TaskOptions.data`; regression has its own defaults.

    Raises:
        InputError: There is no such learner.
    """
    learner = RENAMED_LEARNERS.get(learner, learner)
    if data == _USUAL:
        data = _OWN_DATA.get(learner, data)
    row, own = entry(learner, data), hyper_parameters(learner_class(learner))
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
        InputError: There is none; the message names the nearest.
    """
    found, name = catalogue(), RENAMED_LEARNERS.get(name, name)
    if name not in found:
        raise InputError(f"there is no learner '{name}'{nearest(name, found)}")
    return found[name]


def hyper_parameters(cls: type[Learner]) -> dict[str, Any]:
    """Plain fields of a learner with their defaults: no networks, no functions."""
    found = {}
    for f in fields(cls):
        plain = f.default is None or isinstance(f.default, bool | int | float | str | tuple)
        kinds = (f.type, *get_args(f.type))
        if f.default is not MISSING and plain and Model not in kinds and Callable not in map(get_origin, kinds):
            found[f.name] = f.default
    return found
