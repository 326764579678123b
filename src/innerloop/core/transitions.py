"""Transitions of an environment: what was seen, what was done there, and how what is seen changed by it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.environment import Environment, Task
from innerloop.core.stopped import stop

_START, _STEP = 1, 2


class Transitions(NamedTuple):
    """Steps of n trajectories of one task, in the order of time; one that is done begins anew."""

    inputs: Tensor  # [n, T, i] observation and action, as `choose` gave them
    changes: Tensor  # [n, T, d] the next observation less this one
    rewards: Tensor  # [n, T]
    ends: Tensor  # [n, T] bool, whether the environment was done with that step


class Past(NamedTuple):
    """The last transitions of n trajectories, the latest at the end."""

    inputs: Tensor  # [n, m, i]
    changes: Tensor  # [n, m, d]
    real: Tensor  # [n, m] bool, which of them there were

    def with_one(self, inputs: Tensor, changes: Tensor, real: Tensor) -> "Past":
        """With a further one, [n, i], [n, d] and [n], instead of the oldest; where there is none, as it is."""
        fresh = Past(inputs[:, None], changes[:, None], torch.ones_like(real)[:, None])
        moved = tree.map(lambda old, new: torch.cat([old[:, 1:], new], 1), self, fresh)
        return tree.where(real, moved, self)


def nothing(n: int, rows: int, inputs: int, changes: int, like: Tensor) -> Past:
    """No transitions yet, of `n` trajectories of which the last `rows` are to be remembered."""
    real = torch.zeros(n, rows, dtype=torch.bool, device=like.device)
    return Past(like.new_zeros(n, rows, inputs), like.new_zeros(n, rows, changes), real)


Choose = Callable[[Past, Tensor, int], tuple[Tensor, Tensor]]
"""`(past, observation [n, d], step) -> (action, inputs [n, i])`: what is done, and what a model reads of it."""


def transitions(
    environment: Environment[Any], task: Task, choose: Choose, past: Past, steps: int, key: Tensor
) -> Transitions:
    """Let trajectories run for so many steps, without a graph; one that is done begins anew, on the same task.

    Args:
        environment: What is acted in.
        task: Its constants.
        choose: The behaviour; whatever it reads of parameters must have been stopped.
        past: What it remembers at first, of as many trajectories as there are to be.
        steps: How many, however long an episode is.
        key: [] int64.
    """
    n, horizon, rows = past.real.shape[0], environment.horizon, []
    keys = random.fold(random.fold(key, _STEP), torch.arange(steps, device=key.device))
    state = environment.start(task, n, random.fold(random.fold(key, _START), steps))
    age = torch.zeros(n, dtype=torch.int64, device=key.device)
    every = torch.ones(n, dtype=torch.bool, device=key.device)
    for t in range(steps):
        seen = environment.observe(task, state)
        action, inputs = choose(past, seen, t)
        after, reward, done = environment.step(task, state, action, keys[t])
        changes, age = environment.observe(task, after) - seen, age + 1
        rows.append((inputs, changes, reward, done))
        past = past.with_one(inputs, changes, every)
        anew = done | (age >= horizon)
        fresh = environment.start(task, n, random.fold(random.fold(key, _START), t))
        state, age = tree.where(anew, fresh, after), torch.where(anew, 0, age)
    return stop(Transitions(*(torch.stack(parts, 1) for parts in zip(*rows, strict=True))))
