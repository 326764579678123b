"""Bandits with Bernoulli arms, the smallest problem in which trying costs what knowing earns.

As in RL^2 (Duan et al. 2016, https://arxiv.org/abs/1611.02779) and Wang et al. 2016, https://arxiv.org/abs/1611.05763.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.environment import Discrete, Environment, Task
from innerloop.core.ranges import Count


class Nothing(NamedTuple):
    """A bandit has no state; its rows tell how many trajectories there are."""

    zeros: Tensor  # [n, 1]


@dataclass(frozen=True, kw_only=True)
class Bandits(Environment[Nothing]):
    """Task: the probability that each arm pays a reward of 1, uniform in [0, 1). An action pulls an arm.

    An observation is one 0: what is to be known of the arms is in the rewards alone. An episode is as many pulls.
    """

    arms: Count = 5
    horizon: Count = 10

    @property
    def observations(self) -> int:
        """One number, 0."""
        return 1

    @property
    def actions(self) -> Discrete:
        """The arms."""
        return Discrete(self.arms)

    def draw(self, key: Tensor) -> Task:
        return {"chances": random.uniform(key, (self.arms,))}

    def start(self, task: Task, n: int, key: Tensor) -> Nothing:
        chances = task["chances"]
        return Nothing(torch.zeros(n, 1, dtype=chances.dtype, device=chances.device))

    def observe(self, task: Task, state: Nothing) -> Tensor:
        return state.zeros

    def step(self, task: Task, state: Nothing, action: Tensor, key: Tensor) -> tuple[Nothing, Tensor, Tensor]:
        chance = task["chances"][action]  # [n]
        pays = random.uniform(key, action.shape, chance.dtype) < chance
        return state, pays.to(chance.dtype), torch.zeros_like(pays)

    def oracle(self, task: Task, observation: Tensor) -> Tensor:
        """[n] the best arm, for who knows the chances."""
        return task["chances"].argmax().expand(len(observation))
