"""The pole on a cart, against Gymnasium's and its equations written by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from innerloop.core import random
from innerloop.core.errors import InputError
from innerloop.tasks import draws
from innerloop.tasks.environments.cart_pole import CartPole, Motion
from tests.tasks.environments.contract import Constants, Contract


class Pole:
    """The published equations, one cart at a time."""

    def __init__(self, task: Constants, continuous: bool) -> None:
        self.task, self.continuous, self.state = task, continuous, np.zeros(4)

    def reset(self, key: Any, row: int, rows: int) -> Any:
        self.state = 0.1 * draws.uniform(key, rows * 4).reshape(rows, 4)[row].astype(np.float64) - 0.05
        return self.state.copy()

    def step(self, action: Any, key: Any, row: int, rows: int) -> tuple[Any, float, bool]:
        _, v, theta, omega = self.state
        m, cart, length = self.task["pole"], self.task["cart"], self.task["half_length"]
        share = np.clip(action[0], -1, 1) if self.continuous else (1 if action == 1 else -1)
        force = share * self.task["force"]
        temp = (force + m * length * omega**2 * math.sin(theta)) / (m + cart)
        alpha = (9.8 * math.sin(theta) - math.cos(theta) * temp) / (
            length * (4 / 3 - m * math.cos(theta) ** 2 / (m + cart))
        )
        acceleration = temp - m * length * alpha * math.cos(theta) / (m + cart)
        self.state = self.state + 0.02 * np.array([v, acceleration, omega, alpha])
        fell = abs(self.state[0]) > 2.4 or abs(self.state[2]) > 12 * 2 * math.pi / 360
        return self.state.copy(), 1.0, fell


class TestDiscrete(Contract):
    environment = CartPole(reversed=0.5)

    def reference(self, task: Constants) -> Pole:
        return Pole(task, continuous=False)


class TestContinuous(Contract):
    environment = CartPole(reversed=0.5, continuous=True)

    def reference(self, task: Constants) -> Pole:
        return Pole(task, continuous=True)


def test_with_one_set_of_constants_it_is_gymnasiums():
    gymnasium = pytest.importorskip("gymnasium")
    theirs: Any = gymnasium.make("CartPole-v1").unwrapped
    ours = CartPole(cart=(1.0, 1.0), pole=(0.1, 0.1), half_length=(0.5, 0.5), force=(10.0, 10.0))
    # What was drawn in float32 is rounded.
    task = {name: value.double().round(decimals=6) for name, value in ours.draw(random.mix(0, 0)).items()}
    first, _ = theirs.reset(seed=3)
    theirs.state = np.array(first, dtype=np.float64)
    state = Motion(torch.tensor(theirs.state)[None])
    fell = False
    for t in range(60):
        action = (t // 3) % 2
        _, reward, fell, *_ = theirs.step(action)
        state, ours_reward, done = ours.step(task, state, torch.tensor([action]), random.mix(0, t))
        torch.testing.assert_close(state.numbers[0], torch.tensor(np.array(theirs.state)), rtol=0, atol=1e-12)
        assert ours_reward.item() == reward and done.item() == fell
        if fell:
            break
    assert fell


def test_constants_lie_within_their_bounds_and_some_forces_are_reversed():
    environment = CartPole(reversed=0.25)
    drawn = torch.vmap(environment.draw)(random.mix(2, torch.arange(4000)))
    for name in ("cart", "pole", "half_length", "force"):
        low, high = getattr(environment, name)
        values = drawn[name].abs()
        assert low * 0.999 <= values.min() < low * 1.01 and high * 0.99 < values.max() <= high * 1.001
    assert abs((drawn["force"] < 0).float().mean().item() - 0.25) < 0.03


@pytest.mark.parametrize("bounds", [(2.0, 1.0), (0.0, 1.0), (-1.0, 1.0)])
def test_bounds_are_positive_and_in_order(bounds):
    with pytest.raises(InputError, match="force must be two numbers above 0"):
        CartPole(force=bounds)


def test_constants_change_within_an_episode():
    assert CartPole(horizon=20, changes=19).changes == 19
    with pytest.raises(InputError, match="change at step 20 never do in episodes of 20"):
        CartPole(horizon=20, changes=20)
