"""Regression: tasks that are computed, not drawn from classes of examples."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, NamedTuple, Self

from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.objectives import regression
from innerloop.core.scores import MeanSquaredError
from innerloop.core.sensible import Sensible, Stream
from innerloop.core.types import Batch, Sampler
from innerloop.nn.mlp import MLP
from innerloop.problems.base import Problem, Split, first_line
from innerloop.problems.learner import make_learner
from innerloop.problems.networks import LayerOptions, NetworkOptions
from innerloop.tasks import MassSpringDamper, Sinusoid

_STREAMS: Mapping[Split, int] = {"train": 0, "validation": 1, "test": 2}


class Family(NamedTuple):
    """Tasks of one kind, with the network that learns them."""

    sampler: Callable[..., Sampler]
    """Takes `shots`, `queries` and `seed`."""
    model: MLP
    """For learners that adapt one whole network."""
    outputs: int
    """Length of a target."""
    usual: Sensible
    """Where learners start that say nothing of it."""
    inputs: int = 1
    """Numbers of an input."""


FAMILIES = {
    "sinusoid": Family(
        sampler=Sinusoid,
        model=MLP(hidden=(40, 40)),
        outputs=1,
        usual=Sensible(fields={"inner_lr": 0.01}, task={"shots": 10, "queries": 10}, train={"meta_batch_size": 25}),
    ),
    "mass-spring-damper": Family(
        sampler=MassSpringDamper,
        model=MLP(inputs=3, hidden=(64, 64), outputs=2, activation="tanh"),
        outputs=2,
        usual=Sensible(
            fields={"inner_lr": 0.1, "inner_steps": 5},
            task={"shots": 16, "queries": 16},
            train={"meta_batch_size": 25, "meta_lr": 2e-3, "schedule": "cosine"},
        ),
        inputs=3,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Regression(Problem[None]):
    """What a task is."""

    score = MeanSquaredError()
    streams = ("episodes",)
    network_options = LayerOptions
    in_test = {"queries": 15}  # noqa: RUF012

    data: str = "sinusoid"
    """A family of functions, see `innerloop list`."""
    shots: int = 10
    """Points of the support."""
    queries: int = 10
    """Points that a meta-training task is scored on."""
    train_shots: int | None = None
    """Points of the support in meta-training; None: as `shots`."""

    families: ClassVar[Mapping[str, Family]] = FAMILIES

    @classmethod
    def claims(cls, data: str) -> bool:
        return data in cls.families

    @classmethod
    def data_sets(cls) -> Mapping[str, str]:
        modules = {name: sys.modules[family.sampler.__module__] for name, family in cls.families.items()}
        return {name: first_line(module.__doc__) for name, module in modules.items()}

    @classmethod
    def usual(cls, data: str) -> Sensible:
        return cls.families[data].usual

    def load(self, context: Context) -> None:
        return None

    def train(self, material: None, stream: Stream, seed: int) -> Sampler:
        return self._tasks("train", self.shots if self.train_shots is None else self.train_shots, seed)

    def validation(self, material: None, seed: int) -> Sampler:
        return self._tasks("validation", self.shots if self.train_shots is None else self.train_shots, seed)

    def episodes(self, material: None, split: Split, seed: int) -> Sampler:
        return self._tasks(split, self.shots, seed)

    def learner(self, cls: type[Learner], values: dict[str, Any], network: LayerOptions, material: None) -> Learner:
        """The learner with the network of the family's paper, but for hidden layers that are asked for.

        One without a `model` has the networks that it declares.
        """
        if "values" not in cls.targets:
            raise InputError(
                f"{cls.__name__} tells classes apart; {self.data} is regression: try maml, meta_sgd or reptile"
            )
        family, own = self.families[self.data], {f.name for f in fields(cls)}
        model = family.model
        if network.hidden_units is not None:
            if "model" not in own:
                raise InputError(f"{cls.__name__} is made of networks of its own: leave out --hidden-units")
            model = replace(model, hidden=network.hidden_units)
        given = {k: v for k, v in {"model": model, **self.prescribed()}.items() if k in own}
        return make_learner(cls, {**values, **given}, (family.inputs,), family.outputs, NetworkOptions())

    def outputs(self, material: None) -> int:
        return self.families[self.data].outputs

    def prescribed(self) -> dict[str, Any]:
        return {"objective": regression}

    @classmethod
    def after(cls, trained: Problem, data: str) -> Self:
        if isinstance(trained, cls) and trained.data != data:
            raise InputError(
                f"the run was trained on {trained.data}, whose inputs are not those of {data}: leave out --data, or "
                "train on these"
            )
        return super().after(trained, data)

    def changing(self, seed: int, length: int, period: int) -> Batch:
        sampler: Any = self._tasks("train", self.shots, seed)
        if not callable(getattr(sampler, "stream", None)):
            return super().changing(seed, length, period)
        return replace(sampler, seed=seed).stream(0, length, period)

    def _tasks(self, split: Split, shots: int, seed: int) -> Sampler:
        """Three streams of tasks that never meet."""
        sampler = self.families[self.data].sampler
        return sampler(seed=3 * seed + _STREAMS[split], shots=shots, queries=self.queries, **self.variations())

    def variations(self) -> dict[str, Any]:
        """Further arguments of the sampler."""
        return {}
