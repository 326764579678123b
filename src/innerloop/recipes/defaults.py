"""Where algorithms differ in what is sensible: one table, measured in `docs/algorithms.md`."""

from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.engine import TrainConfig
from innerloop.learners import catalogue
from innerloop.recipes.nearest import nearest
from innerloop.recipes.options import SINUSOID, NetworkOptions, Options, TaskOptions


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row of the table: what to set differently for an algorithm."""

    fields: dict[str, Any] = field(default_factory=dict)
    """Hyper-parameters, taken where the learner has them."""
    task: dict[str, Any] = field(default_factory=dict)
    network: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    batches: bool = False
    """Trained on plain batches of all meta-training classes instead of tasks."""


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
    "fine_tune": Entry(batches=True, train={"meta_batch_size": 1}),
    "nearest_centroid": Entry(network={"network": "none"}, train={"steps": 0}),
}
_SINUSOID = Entry(fields={"inner_lr": 0.01}, task={"shots": 10, "queries": 10}, train={"meta_batch_size": 25})
_SINUSOID_TABLE = {
    "reptile": Entry(
        fields={"inner_lr": 0.02, "inner_optimizer": "sgd", "inner_steps": 32, "inner_batch": 5},
        train={"meta_batch_size": 1, "optimizer": "sgd", "meta_lr": 0.1, "schedule": "linear", "steps": 30000},
    ),
}


def entry(name: str, data: str = "kanji") -> Entry:
    """The row of an algorithm; learners that are not in the table go by which network they have."""
    if data == SINUSOID:
        return _SINUSOID_TABLE.get(name, _SINUSOID)
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
    found = catalogue()
    if name not in found:
        raise InputError(f"there is no learner '{name}'{nearest(name, found)}")
    return found[name]


def hyper_parameters(cls: type[Learner]) -> dict[str, Any]:
    """Plain fields of a learner with their defaults: no networks, no functions."""
    found = {}
    for f in fields(cls):
        plain = f.default is None or isinstance(f.default, bool | int | float | str | tuple)
        if f.default is not MISSING and plain and f.name not in ("model", "encoder", "head"):
            found[f.name] = f.default
    return found
