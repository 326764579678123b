"""Environments to act in: tasks whose constants an agent has to find out by what its actions earn."""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, Literal

from innerloop.core.actions import Actions
from innerloop.core.agent import Agent
from innerloop.core.context import Context
from innerloop.core.environment import Discrete, Environment, check_environment
from innerloop.core.errors import InputError
from innerloop.core.importing import is_import_path
from innerloop.core.learner import Learner, Target
from innerloop.core.model import Model
from innerloop.core.networks import Dynamics, Encoder, Recurrent, Rows, Whole, roles, settled
from innerloop.core.ranges import Count, Positive
from innerloop.core.scores import Return
from innerloop.core.sensible import Sensible, Stream
from innerloop.core.types import Params, Sampler
from innerloop.engine.clipped import Clipped
from innerloop.engine.trust_region import TrustRegion
from innerloop.engine.updates import Update
from innerloop.learners.agents.bandit_rule import BanditRule
from innerloop.learners.agents.scripted import Scripted
from innerloop.nn.gru import GRU
from innerloop.nn.mlp import MLP, Linear
from innerloop.nn.policy import Gaussian
from innerloop.problems.base import Baseline, Problem, Split, first_line
from innerloop.problems.learner import make_learner
from innerloop.problems.networks import LayerOptions, NetworkOptions
from innerloop.problems.own_environments import from_settings, own_environment
from innerloop.tasks import environments
from innerloop.tasks.environments.sampler import EnvironmentTasks

_STREAMS: Mapping[Split, int] = {"train": 0, "validation": 1, "test": 2}
_HIDDEN = (64, 64)
_USUAL = Sensible(train={"steps": 40, "meta_batch_size": 20, "checkpoint_every": 5})
_READ_BY = {"max_kl": "trust-region", "curvature_every": "trust-region", "epochs": "clipped"}
"""By whose update an option is read."""
_OF_DATA = {
    # A tenth of the steps takes a fifth of the time, and its returns are those of docs/guide/agents.md.
    "navigation": replace(_USUAL, task={"curvature_every": 10}),
}


@cache
def kinds() -> dict[str, type[Environment[Any]]]:
    """Every environment by its file's name, found by walking `tasks.environments`."""
    result = {}
    for module in pkgutil.iter_modules(environments.__path__, f"{environments.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            here = inspect.isclass(value) and value.__module__ == module.name
            if here and issubclass(value, Environment) and not inspect.isabstract(value):
                result[module.name.rpartition(".")[2].replace("_", "-")] = value
    return result


@dataclass(frozen=True, kw_only=True)
class PolicyOptions(LayerOptions):
    """The policy's network."""

    start_std: Positive = 1.0
    """Deviation of actions of a box to begin with, in the environment's units."""


@dataclass(frozen=True, kw_only=True)
class Acting(Problem[Environment[Any]]):
    """What a task is, and how policies move."""

    score = Return()
    streams = ("environments",)
    usual_for = ("environments",)
    usual_data = "navigation"
    network_options = PolicyOptions
    by_step = True
    test_episodes = 100  # each of many episodes, of hundreds of steps

    data: str = usual_data
    """An environment, see `innerloop list`; also written --env. package.module:attribute: a class of yours, an object
    of it, or a function that returns one; it needs --allow package."""
    settings: tuple[str, ...] = ()
    """Fields of the environment that are not as usual, such as horizon=50."""
    update: Literal["trust-region", "clipped", "descent"] = "trust-region"
    """How a meta-step moves the parameters, from rollouts of a meta-batch. trust-region: as far as the policies may
    diverge (TRPO). clipped: several descents on the same rollouts, at the meta-rate (PPO). descent: one, by the
    optimizer (A2C)."""
    max_kl: Positive = 0.01
    """For trust-region: largest mean divergence of adapted policies in a meta-step, in nats."""
    curvature_every: Count = 1
    """For trust-region: take every so many steps of the rollouts for products with the second derivative, which are
    most of the cost."""
    epochs: Count = 5
    """For clipped: descents on the same rollouts."""

    @property
    def target(self) -> Target:
        return "returns"

    @classmethod
    def claims(cls, data: str) -> bool:
        return is_import_path(data) or cls.knows(data)

    @classmethod
    def knows(cls, data: str) -> bool:
        return _name(data) in map(_name, kinds())

    @classmethod
    def names(cls, data: str) -> tuple[str, ...]:
        return ("agents",) if is_import_path(data) else (_canonical(data).replace("-", "_"), "agents")

    @classmethod
    def data_sets(cls) -> Mapping[str, str]:
        return {name: first_line(sys.modules[kind.__module__].__doc__) for name, kind in kinds().items()}

    @classmethod
    def usual(cls, data: str) -> Sensible:
        return _USUAL if is_import_path(data) else _OF_DATA.get(_canonical(data), _USUAL)

    def check(self) -> None:
        super().check()
        if not is_import_path(self.data):
            self.environment()

    def environment(self) -> Environment[Any]:
        """What agents act in, of those that are here.

        Raises:
            InputError: A setting is none of its fields, or has a value that it cannot have.
        """
        kind = kinds()[_canonical(self.data)]
        return kind(**from_settings(kind, self.settings, self.data))

    def load(self, context: Context) -> Environment[Any]:
        if is_import_path(self.data):
            return own_environment(self.data, self.settings, context.allow)
        environment = self.environment()
        check_environment(environment)
        return environment

    def train(self, material: Environment[Any], stream: Stream, seed: int) -> Sampler:
        return self.episodes(material, "train", seed)

    def validation(self, material: Environment[Any], seed: int) -> Sampler:
        return self.episodes(material, "validation", seed)

    def episodes(self, material: Environment[Any], split: Split, seed: int) -> EnvironmentTasks:
        return EnvironmentTasks(environment=material, seed=3 * seed + _STREAMS[split])

    def learner(
        self, cls: type[Learner], values: dict[str, Any], network: PolicyOptions, material: Environment[Any]
    ) -> Learner:
        """The learner with policies of this environment: tanh layers of 64 units, unless others are asked for."""
        if "returns" not in cls.targets:
            raise InputError(
                f"{cls.__name__} does not act, and {self.data} is an environment: try maml_rl, or leave out --env"
            )
        seen, hidden = material.observations, _HIDDEN if network.hidden_units is None else network.hidden_units
        own = {f.name: f.default for f in fields(cls)} | values
        memory = next((settled(r, own) for r in roles(cls).values() if isinstance(r, Recurrent)), None)
        features = memory.units if memory is not None else hidden[-1] if hidden else seen
        acted = seen + Actions(material.actions).numbers
        by_role: dict[type[Any], Model] = {
            Whole: _policy(material, seen, hidden, network.start_std),
            Encoder: MLP(inputs=seen, hidden=hidden, outputs=features, activation="tanh"),
            # What it is told of the last step beside the action: its reward, and whether it ended an episode.
            Recurrent: GRU(inputs=acted + 2, units=features),
            Dynamics: MLP(inputs=acted, hidden=hidden, outputs=seen),
        }
        head = _policy(material, features, (), network.start_std)
        by_name = {"head": head, "policy": head, "value": Linear(inputs=features, outputs=1, zero=True)}
        chosen = {
            k: by_name[k] if isinstance(r, Rows) else by_role[type(r)]
            for k, r in roles(cls).items()
            if type(r) in by_role or (k in by_name and isinstance(r, Rows))
        }
        return make_learner(
            cls, {**chosen, **values, "env": material}, (seen,), self.outputs(material), NetworkOptions()
        )

    def outputs(self, material: Environment[Any]) -> int:
        return Actions(material.actions).outputs

    @property
    def unread(self) -> tuple[str, ...]:
        return ("meta_lr", "schedule") if self.update == "trust-region" else ()

    def updating(self, learner: Learner) -> Update | None:
        own, usual = {f.name: f.default for f in fields(self)}, self.usual(self.data).task
        for name, update in _READ_BY.items():
            if self.update != update and getattr(self, name) not in (own[name], usual.get(name)):
                raise InputError(
                    f"--{name.replace('_', '-')} is read by --update {update} alone, and this is --update "
                    f"{self.update}: leave one of them out"
                )
        if self.update == "descent":
            return None
        if not isinstance(learner, Agent):
            raise InputError(
                f"--update {self.update} moves policies by their rollouts, and {type(learner).__name__} has no such "
                "policy: leave it out, or give --update descent"
            )
        if self.update == "clipped":
            return Clipped(epochs=self.epochs)
        return TrustRegion(max_kl=self.max_kl, every=self.curvature_every)

    def baselines(self, learner: Learner, seed: int, sampler: Sampler) -> Iterator[Baseline]:
        """Random actions, rules for bandits, somebody who knows the task where there is one, the learner untrained."""
        assert isinstance(sampler, EnvironmentTasks)
        environment = sampler.environment
        yield Baseline("random", Scripted(env=environment, rule="random"), {}, "random actions")
        if BanditRule.plays(environment):
            yield Baseline("thompson", BanditRule(env=environment, rule="thompson"), {}, "Thompson sampling")
            yield Baseline("gittins", BanditRule(env=environment, rule="gittins"), {}, "Gittins indices")
        if Scripted.knows(environment):
            yield Baseline("oracle", Scripted(env=environment, rule="oracle"), {}, "knows the task")
        yield from super().baselines(learner, seed, sampler)

    def pictures(self, learner: Learner, params: Params, sampler: Sampler, count: int) -> list[Any]:
        """None: an episode is shown by `innerloop play`."""
        return []


def _policy(environment: Environment[Any], inputs: int, hidden: tuple[int, ...], std: float) -> Model:
    space = environment.actions
    if isinstance(space, Discrete):
        return MLP(inputs=inputs, hidden=hidden, outputs=space.n, activation="tanh")
    return Gaussian(inputs=inputs, hidden=hidden, size=space.size, activation="tanh", start_std=std)


def _name(data: str) -> str:
    """What a name is told from others by: cartpole is cart-pole."""
    return data.replace("-", "").replace("_", "").lower()


def _canonical(data: str) -> str:
    return next(name for name in kinds() if _name(name) == _name(data))
