"""A point that is rewarded near its goal alone, so that an agent has to look for it.

Rakelly et al., ICML 2019 (PEARL), https://arxiv.org/abs/1903.08254; constants as in their code, `SparsePointEnv` of
katerakelly/oyster, which trains on the distance itself: here the reward is the sparse one at all times.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.environment import Task
from innerloop.core.ranges import Count, Positive
from innerloop.tasks.environments.plane import STEP, Plane, Position


@dataclass(frozen=True, kw_only=True)
class PointRobot(Plane):
    """Task: the goal, on the upper half of the unit circle. The point starts in its middle.

    A step that ends within the `radius` of the goal earns 1 minus the distance to it, any other 0.
    """

    horizon: Count = 20
    radius: Positive = 0.2

    def draw(self, key: Tensor) -> Task:
        angle = math.pi * random.uniform(key, ())
        return {"goal": torch.stack([torch.cos(angle), torch.sin(angle)])}

    def step(self, task: Task, state: Position, action: Tensor, key: Tensor) -> tuple[Position, Tensor, Tensor]:
        position = state.position + action.clamp(-STEP, STEP)
        distance = torch.linalg.vector_norm(position - task["goal"], dim=-1)
        reward = torch.where(distance <= self.radius, 1 - distance, 0.0)
        return Position(position), reward, torch.zeros_like(reward, dtype=torch.bool)
