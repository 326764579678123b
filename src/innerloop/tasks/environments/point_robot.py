"""A point that is rewarded near its goal alone, so that an agent has to look for it.

Rakelly et al., ICML 2019 (PEARL), https://arxiv.org/abs/1903.08254; constants as in their code, `SparsePointEnv` of
katerakelly/oyster, which trains on the distance itself: here the reward is the sparse one at all times.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.environment import Box, Environment, Task
from innerloop.core.ranges import Count, Positive

STEP = 0.1
"""The most that a coordinate changes in one step."""


class Position(NamedTuple):
    """Where the point is."""

    position: Tensor  # [n, 2]


@dataclass(frozen=True, kw_only=True)
class PointRobot(Environment[Position]):
    """Task: the goal, on the upper half of the unit circle. The point starts in its middle.

    A step that ends within the `radius` of the goal earns 1 minus the distance to it, any other 0.
    """

    horizon: Count = 20
    radius: Positive = 0.2

    @property
    def observations(self) -> int:
        """The position, 2 numbers."""
        return 2

    @property
    def actions(self) -> Box:
        """How far to go in each coordinate."""
        return Box(2, -STEP, STEP)

    def draw(self, key: Tensor) -> Task:
        angle = math.pi * random.uniform(key, ())
        return {"goal": torch.stack([torch.cos(angle), torch.sin(angle)])}

    def start(self, task: Task, n: int, key: Tensor) -> Position:
        goal = task["goal"]
        return Position(torch.zeros(n, 2, dtype=goal.dtype, device=goal.device))

    def observe(self, task: Task, state: Position) -> Tensor:
        return state.position

    def step(self, task: Task, state: Position, action: Tensor, key: Tensor) -> tuple[Position, Tensor, Tensor]:
        position = state.position + action.clamp(-STEP, STEP)
        distance = torch.linalg.vector_norm(position - task["goal"], dim=-1)
        reward = torch.where(distance <= self.radius, 1 - distance, 0.0)
        return Position(position), reward, torch.zeros_like(reward, dtype=torch.bool)

    def oracle(self, task: Task, observation: Tensor) -> Tensor:
        """[n, 2] straight to the goal."""
        return (task["goal"] - observation).clamp(-STEP, STEP)
