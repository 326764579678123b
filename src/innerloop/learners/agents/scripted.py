"""Fixed rules to act by, which learn nothing: random actions, and an oracle that is told the task.

There is no adaptation: they are the floor and the ceiling that returns of agents are read between.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.actions import Actions
from innerloop.core.environment import Environment, random_actions
from innerloop.core.errors import InputError
from innerloop.core.gaussian import key_of
from innerloop.core.learner import Learner
from innerloop.core.ranges import Count
from innerloop.core.rollout import Seen, rollout
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.types import Batch, Episode, Metrics, Params

_ACTED = 19
"""Folded into a task's key, of which its constants are drawn too: random actions must know nothing of them."""


@dataclass(frozen=True, kw_only=True)
class Scripted(Learner[Tensor]):
    """Parameters: none. What is adapted is the key of the draws."""

    trains_on = ("environments",)
    targets = ("returns",)
    stochastic = True
    sensible = by_kind(agents=Sensible(task={"update": "descent"}, train={"steps": 0}))

    env: Environment[Any]
    """What it acts in."""
    rule: Literal["random", "oracle"] = "random"
    """random: uniform actions. oracle: what the environment says is best for who knows the task."""
    trajectories: Count = 20
    """Episodes whose mean return counts."""

    def __post_init__(self) -> None:
        if self.rule == "oracle" and not self.knows(self.env):
            raise InputError(f"{type(self.env).__name__} says nothing of what is best: take rule='random'")

    @staticmethod
    def knows(environment: Environment[Any]) -> bool:
        """Whether an environment has an `oracle(task, observation) -> action`."""
        return callable(getattr(environment, "oracle", None))

    def init(self, seed: int) -> Params:
        return {}

    def adapt(self, params: Params, support: Batch) -> Tensor:
        return key_of(support)

    def predict(self, params: Params, adapted: Tensor, x: Tensor | dict[str, Tensor]) -> Tensor:
        """[1, 1] mean return of trajectories on the task whose constants are `x`."""
        assert isinstance(x, dict)
        task, actions, environment = tree.slice(x, 0), Actions(self.env.actions), self.env

        def act(step: Tensor, seen: Seen) -> tuple[Tensor, Tensor]:
            if self.rule == "oracle":
                action = environment.oracle(task, seen.observation)  # pyright: ignore[reportAttributeAccessIssue]
            else:
                # Of those that still act, all are at one step, which the first one need not be.
                key = random.fold(random.fold(adapted, _ACTED), step.max())
                action = random_actions(environment.actions, self.trajectories, key, seen.observation.dtype)
            return step + 1, actions.certain(action, seen.observation.dtype)

        steps = torch.zeros(self.trajectories, dtype=torch.int64, device=adapted.device)
        run, _ = rollout(environment, task, actions, act, self.trajectories, adapted, steps)
        return run.returns.mean().reshape(1, 1)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        """Minus the return, which depends on no parameter."""
        earned = self.predict(params, self.adapt(params, episode.support), episode.query.x).mean()
        return -earned, {"score": earned}
