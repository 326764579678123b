"""A point that walks in the plane to a goal it does not see; others say where goals are, and what is rewarded."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core.environment import Box, Environment, Task

STEP = 0.1
"""The most that a coordinate changes in one step."""


class Position(NamedTuple):
    """Where the point is."""

    position: Tensor  # [n, 2]


@dataclass(frozen=True, kw_only=True)
class Plane(Environment[Position]):
    """The constant of a task is its `goal`, [2]; the point starts at 0."""

    @property
    def observations(self) -> int:
        """The position, 2 numbers."""
        return 2

    @property
    def actions(self) -> Box:
        """How far to go in each coordinate."""
        return Box(2, -STEP, STEP)

    def start(self, task: Task, n: int, key: Tensor) -> Position:
        goal = task["goal"]
        return Position(torch.zeros(n, 2, dtype=goal.dtype, device=goal.device))

    def observe(self, task: Task, state: Position) -> Tensor:
        return state.position

    def oracle(self, task: Task, observation: Tensor) -> Tensor:
        """[n, 2] the longest step straight to the goal, for who knows it."""
        return (task["goal"] - observation).clamp(-STEP, STEP)
