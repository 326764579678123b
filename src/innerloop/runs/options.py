"""What a person may choose about a run; the command line is made from these."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import tyro

from innerloop.engine import TrainConfig
from innerloop.problems.networks import NetworkOptions

SINUSOID = "sinusoid"
FUNCTIONS = "functions"
"""Functions to be minimised, for learned optimizers."""
DYNAMICS = "mass-spring-damper"
RUNS = "omniglot-runs"
"""The 20 fixed episodes of Omniglot's one-shot classification test, for testing only."""
CUT, WITHIN = tyro.conf.arg(aliases=("--cut",)), tyro.conf.arg(aliases=("--within",))
"""Spellings that options had in release 0.1.0."""


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """What a task is."""

    data: str = "kanji"
    """A data set (see `innerloop list`), a folder with a sub-folder of pictures for each class, or an .npz file."""
    split_scheme: Annotated[str | None, CUT] = None
    """How classes are split for training and testing, where there are several ways (omniglot: lake, vinyals, maml)."""
    ways: int = 5
    """Classes of a task, in meta-testing and, unless `train_ways` says otherwise, in meta-training."""
    shots: int = 1
    """Labelled examples of each class."""
    queries: int = 5
    """Examples of each class that a meta-training task is scored on."""
    train_ways: int | None = None
    """Classes of a meta-training task, for learners that take any number; None: as `ways`."""
    train_shots: int | None = None
    """Labelled examples of each class in meta-training; None: as `shots`."""
    batch_size: int = 64
    """Examples a step, for learners that are trained on plain batches of all classes."""
    unlabelled: int = 0
    """Further examples of each class that a meta-training task has without their label."""
    distractors: int = 0
    """Further classes that a meta-training task has unlabelled examples of."""
    same_group: Annotated[float, WITHIN] = 0.0
    """Share of meta-training tasks whose classes are all from one group (alphabet)."""
    unsupervised: bool = False
    """Meta-train without labels: every class is one random picture, its examples are distorted copies of it."""
    family: Literal["quadratics", "mlp", "conv"] = "quadratics"
    """Of the functions that a learned optimizer is trained to minimise."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything that decides a run."""

    learner: str
    """Name in `learners.catalogue()`."""
    task: TaskOptions = field(default_factory=TaskOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    fields: dict[str, Any] = field(default_factory=dict)
    """Hyper-parameters of the learner that differ from its own defaults."""
    train: TrainConfig = field(default_factory=TrainConfig)
