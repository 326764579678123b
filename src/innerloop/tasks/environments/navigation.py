"""A point in the plane that walks to a goal it does not see: the setting of MAML's section 5.3.

Finn, Abbeel and Levine, ICML 2017, https://arxiv.org/abs/1703.03400; constants as in their code, `PointEnvRandGoal` of
cbfinn/maml_rl, with the steps clipped, as the ports that published results use it do.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.environment import Box, Environment, Task
from innerloop.core.ranges import Count

STEP = 0.1
"""The most that a coordinate changes in one step."""
_NEAR = 0.01
"""Done where both coordinates are nearer to the goal."""


class Position(NamedTuple):
    """Where the point is."""

    position: Tensor  # [n, 2]


@dataclass(frozen=True, kw_only=True)
class Navigation(Environment[Position]):
    """Task: the goal, uniform in [-0.5, 0.5]^2. The reward is minus the distance to it; the point starts at 0.

    An agent that stays where it is earns -38.3 on average over goals, and one that goes straight to the goal -0.51.
    """

    horizon: Count = 100

    @property
    def observations(self) -> int:
        """The position, 2 numbers."""
        return 2

    @property
    def actions(self) -> Box:
        """How far to go in each coordinate."""
        return Box(2, -STEP, STEP)

    def draw(self, key: Tensor) -> Task:
        return {"goal": random.uniform(key, (2,)) - 0.5}

    def start(self, task: Task, n: int, key: Tensor) -> Position:
        goal = task["goal"]
        return Position(torch.zeros(n, 2, dtype=goal.dtype, device=goal.device))

    def observe(self, task: Task, state: Position) -> Tensor:
        return state.position

    def step(self, task: Task, state: Position, action: Tensor, key: Tensor) -> tuple[Position, Tensor, Tensor]:
        position = state.position + action.clamp(-STEP, STEP)
        away = position - task["goal"]
        return Position(position), -torch.linalg.vector_norm(away, dim=-1), (away.abs() < _NEAR).all(-1)

    def oracle(self, task: Task, observation: Tensor) -> Tensor:
        """[n, 2] the longest step straight to the goal, for who knows it."""
        return (task["goal"] - observation).clamp(-STEP, STEP)
