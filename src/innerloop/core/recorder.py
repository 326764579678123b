"""An environment that keeps what is done in it, so that the very trajectories a learner is scored on can be shown."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.environment import Environment, Space, State, Task
from innerloop.core.errors import InputError


class Trajectories(NamedTuple):
    """n trajectories of one episode, T steps each, of which some count for nothing."""

    states: Any  # tree of [n, T + 1, ...], the last is that after the last step
    actions: Tensor  # [n, T] int64 or [n, T, size], as the environment was given them
    rewards: Tensor  # [n, T], 0 where a step does not count
    live: Tensor  # [n, T] bool, which steps count

    @property
    def lengths(self) -> list[int]:
        """Steps of each trajectory that count."""
        return self.live.sum(1).tolist()

    @property
    def returns(self) -> list[float]:
        """Sums of the rewards of each."""
        return self.rewards.double().sum(1).tolist()


class Kept:
    """What was done since the last start."""

    def __init__(self) -> None:
        self.first: Any = None
        """States before the first step."""
        self.steps: list[tuple[Tensor, Any, Tensor, Tensor]] = []
        """Actions, states after them, rewards, and what was done by them."""


@dataclass(frozen=True, kw_only=True)
class Recorder(Environment[State]):
    """The environment itself, in place of which a learner acts: `dataclasses.replace(learner, env=recorded(env))`.

    It keeps the last episode, and so is no pure function: for one task after another, outside of `vmap`.
    """

    environment: Environment[State]
    """What is recorded."""
    kept: Kept = field(default_factory=Kept, compare=False, repr=False)
    """What was done in the last episode."""

    @property
    def observations(self) -> int:
        return self.environment.observations

    @property
    def actions(self) -> Space:
        return self.environment.actions

    def draw(self, key: Tensor) -> Task:
        return self.environment.draw(key)

    def start(self, task: Task, n: int, key: Tensor) -> State:
        self.kept.steps.clear()
        self.kept.first = self.environment.start(task, n, key)
        return self.kept.first

    def observe(self, task: Task, state: State) -> Tensor:
        return self.environment.observe(task, state)

    def step(self, task: Task, state: State, action: Tensor, key: Tensor) -> tuple[State, Tensor, Tensor]:
        after, reward, done = self.environment.step(task, state, action, key)
        self.kept.steps.append((action, after, reward, done))
        return after, reward, done

    def __getattr__(self, name: str) -> Any:
        """What else the environment has, such as an oracle."""
        if name.startswith("_") or name == "environment":
            raise AttributeError(name)
        return getattr(self.environment, name)

    def trajectories(self) -> Trajectories:
        """The last episode.

        Raises:
            InputError: Nobody has acted.
        """
        if not self.kept.steps:
            raise InputError(f"nothing was done in {type(self.environment).__name__}: the learner took no step in it")
        states, lived, earned = [self.kept.first], [], []
        live = torch.ones_like(self.kept.steps[0][-1])
        for _, after, reward, done in self.kept.steps:
            # What is done stays as it is: what the environment says of it has no meaning.
            states.append(tree.where(live, after, states[-1]))
            lived.append(live)
            earned.append(torch.where(live, reward, 0.0))
            live = live & ~done
        actions = [action for action, *_ in self.kept.steps]
        moved = tree.map(lambda leaf: leaf.transpose(0, 1), tree.stack(states))
        stacked = Trajectories(moved, *(torch.stack(leaves, 1) for leaves in (actions, earned, lived)))
        return tree.map(lambda leaf: leaf.detach(), stacked)


def recorded(environment: Environment[State]) -> Recorder[State]:
    """A recorder of an environment, in which nothing has been done."""
    return Recorder(horizon=environment.horizon, environment=environment)
