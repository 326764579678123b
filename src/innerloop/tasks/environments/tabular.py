"""Markov decision processes drawn at random, small enough to be solved by dynamic programming.

The second problem of RL^2 (Duan et al. 2016, https://arxiv.org/abs/1611.02779), after Osband, Russo and Van Roy 2013,
https://arxiv.org/abs/1306.0940.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from innerloop.core import random
from innerloop.core.environment import Discrete, Environment, Task
from innerloop.core.ranges import Count

_MEAN = 1.0


class Place(NamedTuple):
    """The state by its number."""

    place: Tensor  # [n] int64


@dataclass(frozen=True, kw_only=True)
class Tabular(Environment[Place]):
    """Task: where each action leads, from a flat Dirichlet distribution, and what it earns.

    The reward of an action in a state is normal with deviation 1 around a mean that is drawn from N(1, 1). Episodes
    start in state 0. An observation is the state, one-hot.
    """

    states: Count = 10
    choices: Count = 5
    """Actions in every state."""
    horizon: Count = 10

    @property
    def observations(self) -> int:
        """A number for each state."""
        return self.states

    @property
    def actions(self) -> Discrete:
        """The choices."""
        return Discrete(self.choices)

    def draw(self, key: Tensor) -> Task:
        shape = (self.states, self.choices)
        # Exponential numbers divided by their sum are flatly Dirichlet.
        weights = -torch.log1p(-random.uniform(random.fold(key, 0), (*shape, self.states)))
        means = _MEAN + random.normal(random.fold(key, 1), shape)
        return {"transitions": weights / weights.sum(-1, keepdim=True), "means": means}

    def start(self, task: Task, n: int, key: Tensor) -> Place:
        return Place(torch.zeros(n, dtype=torch.int64, device=task["means"].device))

    def observe(self, task: Task, state: Place) -> Tensor:
        return F.one_hot(state.place, self.states).to(task["means"].dtype)

    def step(self, task: Task, state: Place, action: Tensor, key: Tensor) -> tuple[Place, Tensor, Tensor]:
        means = task["means"][state.place, action]  # [n]
        reward = means + random.normal(random.fold(key, 0), action.shape, means.dtype)
        ends = task["transitions"][state.place, action].cumsum(-1)  # [n, states]
        drawn = random.uniform(random.fold(key, 1), action.shape, means.dtype)
        # The last end may be below 1 by rounding, and no number of a state is above it.
        place = (drawn[:, None] >= ends[:, :-1]).sum(-1)
        return Place(place), reward, torch.zeros_like(action, dtype=torch.bool)
