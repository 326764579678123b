"""What learners say of themselves about training: what they are given, and what is sensible to start from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

Stream = Literal["episodes", "batches", "task_batches", "trajectories", "functions", "environments"]
"""episodes: tasks with a support and a query. batches: examples with their class among all of meta-training.
task_batches: such batches of several tasks, each with classes of its own. trajectories: tasks with the labels of all of
meta-training, whose query asks for classes that the support lacks. functions: to be minimised. environments: tasks to
act in."""


@dataclass(frozen=True, kw_only=True)
class Sensible:
    """Where a learner starts otherwise than others do on a kind of problem; the command line's defaults."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    """Hyper-parameters, taken where the learner has them."""
    task: Mapping[str, Any] = field(default_factory=dict)
    """Ways, shots, queries and the like of meta-training."""
    network: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    """Steps, rates, the meta-batch."""
    choices: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """What is chosen from these values on meta-validation tasks once it is trained, unless it is given."""


def by_kind(**kinds: Sensible) -> Mapping[str, Sensible]:
    """What is sensible on each kind of problem: `classes`, `texts`, `entities`, `sinusoid`, `functions` and others.

    `behaviour` is what changes on ratings with `--implicit`.
    """
    return MappingProxyType(kinds)


MANY_WAYS = Sensible(task={"train_ways": 20}, train={"meta_batch_size": 1})
"""One task of many classes a step (Snell et al. 2017)."""
FROZEN_ROWS = Sensible(
    network={"network": "residual"},
    task=MANY_WAYS.task,
    # The rows are good as they are: small steps away from them, and few, or what unseen classes need is lost.
    train={"steps": 300, "meta_batch_size": 4, "meta_lr": 2e-4, "schedule": "cosine"},
)
"""A map of what a frozen encoder made of texts."""
FROZEN_WORDS = replace(FROZEN_ROWS, task={}, train={**FROZEN_ROWS.train, "steps": 150, "meta_lr": 1e-3})
"""Likewise of words, whose rows were never made to tell types apart: larger steps."""
WEIGHED_WORDS = replace(FROZEN_WORDS, task={"other_weight": 1.0})
"""For learners that weigh rows: words of no entity are most, and would be most of what is learned."""
INNER_LOOP = Sensible(
    # Trained with the statistics of the query batch, as in the papers; tested without, unless asked.
    fields={"inner_lr": 0.5, "transductive": True},
    train={"meta_batch_size": 8, "meta_lr": 5e-3},
)
"""Several tasks a step, each with inner steps of gradient descent."""
RATINGS = Sensible(
    train={"steps": 300, "meta_batch_size": 32, "meta_lr": 2e-3, "schedule": "cosine"},
)
"""Users as tasks: what is worth learning of items is learned early, and by heart soon after."""
