"""Navigation, against its equations and the returns that are known of it."""

from typing import Any

import numpy as np
import torch

from innerloop.core import random
from innerloop.core.environment import Task
from innerloop.tasks.environments.navigation import Navigation
from innerloop.tasks.environments.plane import Position
from tests.tasks.environments.contract import Constants, Contract

GOALS, HORIZON = 4000, 100


class Walk:
    """The published equations, one point at a time."""

    def __init__(self, goal: Any) -> None:
        self.goal, self.position = goal, np.zeros(2)

    def reset(self, key: Any, row: int, rows: int) -> Any:
        self.position = np.zeros(2)
        return self.position.copy()

    def step(self, action: Any, key: Any, row: int, rows: int) -> tuple[Any, float, bool]:
        self.position = self.position + np.clip(action, -0.1, 0.1)
        x, y = self.position - self.goal
        return self.position.copy(), -((x**2 + y**2) ** 0.5), abs(x) < 0.01 and abs(y) < 0.01


class TestNavigation(Contract):
    environment = Navigation()

    def reference(self, task: Constants) -> Walk:
        return Walk(task["goal"])


def returned(policy: Any) -> torch.Tensor:
    """[goals] return of one episode of a policy `(task, position, key) -> action`, steps after the end left out."""
    environment = Navigation(horizon=HORIZON)

    def episode(key: torch.Tensor) -> torch.Tensor:
        task = environment.draw(random.fold(key, 0))
        state, live, total = environment.start(task, 1, key), torch.ones(1), torch.zeros(1)
        for t in range(HORIZON):
            action = policy(task, state, random.fold(key, t + 1))
            state, reward, done = environment.step(task, state, action, key)
            total, live = total + live * reward, live * (~done)
        return total[0]

    return torch.vmap(episode)(random.mix(5, torch.arange(GOALS)))


def test_an_agent_that_stays_earns_what_is_derived():
    staying = returned(lambda task, state, key: torch.zeros(1, 2))
    assert abs(staying.mean().item() + 38.3) < 1.5


def test_an_agent_that_knows_the_goal_earns_what_is_measured():
    def straight(task: Task, state: Position, key: torch.Tensor) -> torch.Tensor:
        return task["goal"] - state.position

    assert abs(returned(straight).mean().item() + 0.51) < 0.05


def test_one_that_only_seeks_the_centre_earns_no_more_than_staying():
    def centre(task: Task, state: Position, key: torch.Tensor) -> torch.Tensor:
        return -state.position + 0.1 * random.normal(key, (1, 2))

    assert -40.5 < returned(centre).mean().item() < -36.8


def test_an_episode_ends_near_the_goal_in_both_coordinates():
    environment, key = Navigation(), random.mix(0, 0)
    task = {"goal": torch.tensor([0.05, 0.0])}
    ends = [
        environment.step(task, environment.start(task, 1, key), torch.tensor([[x, y]]), key)[2].item()
        for x, y in ((0.055, 0.005), (0.055, 0.02), (0.07, 0.0))
    ]
    assert ends == [True, False, False]
