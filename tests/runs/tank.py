"""An environment of somebody's own, as a person would write it."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.environment import Box, Environment

NOTHING = 3


class Level(NamedTuple):
    """How full the tank is."""

    height: Tensor  # [n]


@dataclass(frozen=True, kw_only=True)
class Tank(Environment[Level]):
    """A tank that leaks, more or less: keep it half full. It has no oracle, and a tap without bounds."""

    horizon: int = 6
    high: float = 1.0

    @property
    def observations(self):
        return 1

    @property
    def actions(self):
        return Box(1, -float("inf"), float("inf"))

    def draw(self, key):
        return {"leak": 0.05 + 0.1 * random.uniform(key, ())}

    def start(self, task, n, key):
        return Level(random.uniform(key, (n,)))

    def observe(self, task, state):
        return state.height[:, None]

    def step(self, task, state, action, key):
        height = state.height + action[:, 0].clamp(0, 0.2) - task["leak"]
        return Level(height.clamp(0, self.high)), -(height - 0.5).abs(), height > self.high


class Broken(Tank):
    """Its observation is no tensor."""

    def observe(self, task, state):
        raise ValueError("the gauge is stuck")


class Wide(Tank):
    """It says that it shows one number, and shows two."""

    def observe(self, task, state):
        return torch.stack([state.height, state.height], -1)


def small():
    return Tank(horizon=3)
