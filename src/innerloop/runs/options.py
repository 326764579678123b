"""What a person may choose about a run; the command line is made from these."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Natural, Share
from innerloop.engine import TrainConfig
from innerloop.problems.base import Problem
from innerloop.problems.classes import Classes
from innerloop.problems.networks import NetworkOptions, StartOptions


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions(Checked):
    """A generator of examples and classes before the learner."""

    generator: str | None = None
    """Folder of a run that generates (viml), which is trained on with the learner; new: one that begins here; None:
    none."""
    extra: Natural = 2
    """Made examples of each class that the support gets besides its own, also at test."""
    share: Share = 0.3
    """How many meta-training tasks are of new classes, each between two of the task's own."""
    between: Literal["codes", "layers"] = "codes"
    """codes: new classes are made by the generator, from codes between those of two. layers: their examples are mixed
    in front of a random layer of the learner's network (MLTI), and the generator makes the extra ones alone."""

    def check(self) -> None:
        """Refuse options of a generator where there is none.

        Raises:
            InputError: Naming one.
        """
        changed = [f.name for f in fields(self) if getattr(self, f.name) != f.default]
        if changed and self.generator is None:
            raise InputError(f"--{changed[0]} is of a generator: name one by --generator RUN, or --generator new")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything that decides a run."""

    learner: str
    """Name in `learners.catalogue()`."""
    task: Problem = field(default_factory=Classes)
    network: StartOptions = field(default_factory=NetworkOptions)
    generator: GeneratorOptions = field(default_factory=GeneratorOptions)
    fields: dict[str, Any] = field(default_factory=dict)
    """Hyper-parameters of the learner that differ from its own defaults."""
    train: TrainConfig = field(default_factory=TrainConfig)
