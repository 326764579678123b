"""A point in the plane that walks to a goal it does not see: the setting of MAML's section 5.3.

Finn, Abbeel and Levine, ICML 2017, https://arxiv.org/abs/1703.03400; constants as in their code, `PointEnvRandGoal` of
cbfinn/maml_rl, with the steps clipped, as the ports that published results use it do.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.environment import Task
from innerloop.core.ranges import Count
from innerloop.tasks.environments.plane import STEP, Plane, Position

_NEAR = 0.01
"""Done where both coordinates are nearer to the goal."""


@dataclass(frozen=True, kw_only=True)
class Navigation(Plane):
    """Task: the goal, uniform in [-0.5, 0.5]^2. The reward is minus the distance to it; the point starts at 0.

    An agent that stays where it is earns -38.3 on average over goals, and one that goes straight to the goal -0.51.
    """

    horizon: Count = 100

    def draw(self, key: Tensor) -> Task:
        return {"goal": random.uniform(key, (2,)) - 0.5}

    def step(self, task: Task, state: Position, action: Tensor, key: Tensor) -> tuple[Position, Tensor, Tensor]:
        position = state.position + action.clamp(-STEP, STEP)
        away = position - task["goal"]
        return Position(position), -torch.linalg.vector_norm(away, dim=-1), (away.abs() < _NEAR).all(-1)
