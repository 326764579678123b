"""The point with a sparse reward."""

from typing import Any

import numpy as np
import torch

from innerloop.core import random
from innerloop.tasks.environments.plane import Position
from innerloop.tasks.environments.point_robot import PointRobot
from tests.tasks.environments.contract import Constants, Contract


class Point:
    """The published equations, one point at a time."""

    def __init__(self, goal: Any) -> None:
        self.goal, self.position = goal, np.zeros(2)

    def reset(self, key: Any, row: int, rows: int) -> Any:
        self.position = np.zeros(2)
        return self.position.copy()

    def step(self, action: Any, key: Any, row: int, rows: int) -> tuple[Any, float, bool]:
        self.position = self.position + np.clip(action, -0.1, 0.1)
        reward = -float(np.hypot(*(self.position - self.goal)))
        return self.position.copy(), reward + 1 if reward >= -0.2 else 0.0, False


class TestPointRobot(Contract):
    environment = PointRobot()

    def reference(self, task: Constants) -> Point:
        return Point(task["goal"])


def test_goals_are_on_the_upper_half_circle():
    goals = torch.vmap(PointRobot().draw)(random.mix(1, torch.arange(500)))["goal"]
    torch.testing.assert_close(torch.linalg.vector_norm(goals, dim=1), torch.ones(500))
    assert (goals[:, 1] >= 0).all() and abs(goals[:, 0].mean().item()) < 0.1


def test_only_a_step_near_the_goal_is_rewarded():
    environment, key = PointRobot(), random.mix(0, 0)
    task = {"goal": torch.tensor([1.0, 0.0])}
    position = torch.tensor([[0.5, 0.0], [0.75, 0.0], [0.9, 0.0]])
    _, reward, done = environment.step(task, Position(position), torch.tensor([[9.0, 0.0]] * 3), key)
    torch.testing.assert_close(reward, torch.tensor([0.0, 0.85, 1.0]))
    assert not done.any()


def test_who_knows_the_goal_earns_half_of_the_steps():
    environment, key = PointRobot(), random.mix(0, 0)
    task = environment.draw(key)
    state, earned = environment.start(task, 1, key), 0.0
    for _ in range(environment.horizon):
        state, reward, _ = environment.step(task, state, environment.oracle(task, state.position), key)
        earned += reward.item()
    assert earned > 9
