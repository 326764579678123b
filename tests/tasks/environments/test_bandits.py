"""Bernoulli bandits."""

from typing import Any

import numpy as np
import torch

from innerloop.core import random
from innerloop.tasks import draws
from innerloop.tasks.environments.bandits import Bandits
from tests.tasks.environments.contract import Constants, Contract


class Arms:
    """A reward of 1 where a uniform number is below the arm's probability."""

    def __init__(self, chances: Any) -> None:
        self.chances = chances

    def reset(self, key: Any, row: int, rows: int) -> Any:
        return np.zeros(1)

    def step(self, action: Any, key: Any, row: int, rows: int) -> tuple[Any, float, bool]:
        return np.zeros(1), float(draws.uniform(key, rows)[0, row] < self.chances[int(action)]), False


class TestBandits(Contract):
    environment = Bandits()

    def reference(self, task: Constants) -> Arms:
        return Arms(task["chances"])


def test_arms_pay_as_often_as_they_say():
    environment, task = Bandits(arms=2), {"chances": torch.tensor([0.25, 0.8])}
    key, pulls = random.mix(0, 0), 40_000
    state = environment.start(task, pulls, key)
    for arm, chance in enumerate((0.25, 0.8)):
        action = torch.full((pulls,), arm)
        _, reward, done = environment.step(task, state, action, random.fold(key, arm))
        assert abs(reward.mean().item() - chance) < 0.01 and not done.any()


def test_a_random_agent_earns_half_of_its_pulls():
    chances = torch.vmap(Bandits().draw)(random.mix(1, torch.arange(20_000)))["chances"]
    assert abs(10 * chances.mean().item() - 5.0) < 0.02
