"""Environments of agents in pure tensors: an action at every step, a reward for it, and constants that differ by task.

An environment is written for one task and batched over its trajectories; the engine's vmap runs it over tasks. Its
state is a tree of tensors, its randomness comes from keys, so that a rollout is a function of parameters, task and key,
under any plan.
"""

import abc
import math
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.errors import FailedError, InputError
from innerloop.core.plain import is_whole
from innerloop.core.random import fold, mix, uniform
from innerloop.core.ranges import Checked, Count
from innerloop.core.types import Batch

State = TypeVar("State")
Task = dict[str, Tensor]
"""Constants of a task by name: a goal, probabilities, a map."""


class Discrete(NamedTuple):
    """Actions 0 .. n-1: a tensor of them is [rows] int64."""

    n: int


class Box(NamedTuple):
    """Actions of `size` numbers, each from `low` to `high`: a tensor of them is [rows, size] float."""

    size: int
    low: float
    high: float


Space = Discrete | Box


@dataclass(frozen=True, kw_only=True)
class Environment(Checked, abc.ABC, Generic[State]):
    """What an agent acts in; fields are what all of its tasks share.

    Every method is pure and fit for `vmap` over tasks: no `.item()`, no boolean indexing, no branch on a tensor. Floats
    have the dtype of the task's constants, tensors their device. An episode has `horizon` steps or ends before, where
    `step` says that it is done; a trajectory that is done goes on unseen until the others are, and counts for nothing.
    """

    wanted = "an environment, such as Navigation()"

    horizon: Count
    """Steps of an episode at most."""

    @property
    @abc.abstractmethod
    def observations(self) -> int:
        """Length of an observation."""

    @property
    @abc.abstractmethod
    def actions(self) -> Space:
        """What actions there are."""

    @abc.abstractmethod
    def draw(self, key: Tensor) -> Task:
        """Constants of the task of a [] int64 key, a function of it alone; the same names and shapes for every key."""

    @abc.abstractmethod
    def start(self, task: Task, n: int, key: Tensor) -> State:
        """First states of `n` trajectories: a tree of tensors [n, ...].

        Args:
            task: Constants, as `draw` gives them.
            n: How many trajectories.
            key: [] int64, the only randomness.
        """

    @abc.abstractmethod
    def observe(self, task: Task, state: State) -> Tensor:
        """[n, observations] what the agent sees of its state."""

    @abc.abstractmethod
    def step(self, task: Task, state: State, action: Tensor, key: Tensor) -> tuple[State, Tensor, Tensor]:
        """What follows an action: the next state, the reward [n] and whether the episode is done [n] bool.

        Args:
            task: Constants, as `draw` gives them.
            state: Of n trajectories.
            action: [n] int64 of a `Discrete`, or [n, size] floats of a `Box`, outside of whose bounds they are clipped.
            key: [] int64, another one at every step.
        """


def constants(batch: Batch) -> Task:
    """Constants of a task as `draw` gave them, of the support or query that `EnvironmentTasks` made with them."""
    assert isinstance(batch.x, dict)
    return tree.slice(batch.x, 0)


def random_actions(space: Space, n: int, key: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """`n` uniform actions in the form that `step` takes; from -1 to 1 where the bounds of a space are not finite."""
    if isinstance(space, Discrete):
        return (uniform(key, (n,), torch.float64) * space.n).long()
    low, high = (space.low, space.high) if math.isfinite(space.high - space.low) else (-1.0, 1.0)
    return low + (high - low) * uniform(key, (n, space.size), dtype)


def check_space(space: Any) -> None:
    """Let no space be used that no policy can have.

    Raises:
        InputError: It is neither `Discrete` nor `Box`, or empty.
    """
    if isinstance(space, Discrete):
        if is_whole(space.n, 1):
            return
        raise InputError(f"a policy needs at least one action to choose from, got Discrete(n={space.n!r})")
    if not isinstance(space, Box):
        raise InputError(
            f"a policy chooses one of n actions or gives numbers within bounds: actions must be Discrete(n) or "
            f"Box(size, low, high), got {space!r}"
        )
    if not is_whole(space.size, 1) or not space.low < space.high:
        raise InputError(f"a policy needs at least one number between low and high, low < high, got {space}")


def check_environment(environment: Environment[Any]) -> None:
    """Run two steps of a drawn task, and refuse an environment that does not keep the contract.

    Raises:
        InputError: Saying what its method gave, and what it has to give.
    """
    name, n = type(environment).__name__, 3
    check_space(environment.actions)
    if not is_whole(environment.horizon, 1):  # a field that is annotated anew is not checked by `Count`
        raise InputError(f"{name}: horizon must be a whole number of at least 1, got {environment.horizon!r}")
    key = mix(0, 0)
    task = environment.draw(key)
    _expect(f"{name}.draw", _same(task, environment.draw(key)), "another task at a second call with the same key")
    state = environment.start(task, n, fold(key, 1))
    for t in range(2):
        seen = environment.observe(task, state)
        want = (n, environment.observations)
        _expect(f"{name}.observe", seen.shape == want, f"{tuple(seen.shape)} instead of {want}, one row a trajectory")
        action = random_actions(environment.actions, n, fold(key, 10 + t))
        state, reward, done = environment.step(task, state, action, fold(key, 20 + t))
        shapes = f"reward {tuple(reward.shape)} and done {tuple(done.shape)} {done.dtype}"
        right = reward.shape == (n,) and done.shape == (n,) and done.dtype == torch.bool
        _expect(f"{name}.step", right, f"{shapes} instead of ({n},) and ({n},) torch.bool")


def refuse_not_finite(rewards: Tensor, live: Tensor | None = None, first: int = 0) -> None:
    """Let no reward be learned from that is no number.

    Args:
        rewards: [tasks, n, steps].
        live: Of the same shape, which steps count; None: all.
        first: Index of the first task, for the message.

    Raises:
        FailedError: Naming the task, the trajectory and the step of the first one.
    """
    wrong = ~torch.isfinite(rewards) if live is None else ~torch.isfinite(rewards) & live.bool()
    if wrong.any():
        task, trajectory, step = wrong.nonzero()[0].tolist()
        value = rewards[task, trajectory, step].item()
        raise FailedError(
            f"the environment's reward is {value} in task {first + task}, trajectory {trajectory}, at step {step}: "
            "nothing can be learned from it. Look at what it divides by or takes the root of there"
        )


def _same(a: Task, b: Task) -> bool:
    pairs = zip(tree.flatten(a), tree.flatten(b), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def _expect(method: str, right: bool, gave: str) -> None:
    if not right:
        raise InputError(f"{method} gives {gave}. See innerloop.core.environment.Environment")
