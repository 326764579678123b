"""What a person may choose about a run; the command line is made from these."""

from dataclasses import dataclass, field
from typing import Any

from innerloop.engine import TrainConfig
from innerloop.problems.base import Problem
from innerloop.problems.classes import Classes
from innerloop.problems.networks import NetworkOptions, StartOptions


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything that decides a run."""

    learner: str
    """Name in `learners.catalogue()`."""
    task: Problem = field(default_factory=Classes)
    network: StartOptions = field(default_factory=NetworkOptions)
    fields: dict[str, Any] = field(default_factory=dict)
    """Hyper-parameters of the learner that differ from its own defaults."""
    train: TrainConfig = field(default_factory=TrainConfig)
