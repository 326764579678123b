"""Tasks in anyone's Gymnasium environment, https://gymnasium.farama.org, for every agent here.

Environments are stepped outside of torch, by operators of its dispatcher: under `vmap` one call steps all trajectories
of all tasks, in this process or in others. Everything else is an environment like those in tensors, so that learners,
updates and verbs need not know.
"""

import functools
import itertools
import threading
import weakref
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.aligned import from_numpy
from innerloop.core.environment import Box, Discrete, Environment, Task, check_space
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Count, Natural
from innerloop.core.types import Episode
from innerloop.tasks.environments.sampler import EnvironmentTasks
from innerloop.tasks.outside.hosts import Draw, Elsewhere, Here, Make, Spaces, Stepped, refuse_unseeded


class Outside(NamedTuple):
    """An episode that runs elsewhere, and what is seen of it."""

    episode: Tensor  # [n] int64
    observation: Tensor  # [n, d] float32


@dataclass(frozen=True, kw_only=True)
class GymnasiumEnvironment(Environment[Outside]):
    """Environments of Gymnasium as one environment, whose task is a number from which its constants are drawn."""

    make: Make
    """`make(**constants)` is a `gymnasium.Env`."""
    constants: Draw
    """`constants(generator)` are those of a task, drawn from a `numpy.random.Generator` alone."""
    workers: Natural = 0
    """Processes that step the environments; 0: this one. Results do not depend on how many."""

    @property
    def observations(self) -> int:
        """As many numbers as Gymnasium's `flatten` gives."""
        return self._spaces.observations

    @property
    def actions(self) -> Discrete | Box:
        """Those of the environments; where every number has its own bounds, from -1 to 1."""
        spaces = self._spaces
        return Box(spaces.size, spaces.low, spaces.high) if spaces.choices is None else Discrete(spaces.choices)

    def draw(self, key: Tensor) -> Task:
        # What is seen and earned has the type of the constants, of which the number says none.
        return {"number": random.fold(key, 0), "unit": torch.ones(())}

    def start(self, task: Task, n: int, key: Tensor) -> Outside:
        numbers, seeds = task["number"].expand(n), random.bits(key, (n,))
        return Outside(*_start(numbers, seeds, _number(self), self.observations))

    def observe(self, task: Task, state: Outside) -> Tensor:
        return state.observation.to(task["unit"].dtype)

    def step(self, task: Task, state: Outside, action: Tensor, key: Tensor) -> tuple[Outside, Tensor, Tensor]:
        observation, reward, done = _step(state.episode, action, _number(self), self.observations)
        return Outside(state.episode, observation), reward.to(task["unit"].dtype), done

    def close(self) -> None:
        """End all episodes and processes; they begin again when they are needed."""
        _HOSTS[_number(self)].close()

    @property
    def _spaces(self) -> Spaces:
        return _HOSTS[_number(self)].spaces()


@dataclass(frozen=True, kw_only=True)
class GymnasiumTasks(Checked):
    """Tasks of an environment with parameters: `GymnasiumTasks(make=Windy, draw=lambda rng: {"wind": rng.normal()})`.

    A learner's `env` is `tasks.environment`.

    Raises:
        InputError: Episodes do not repeat from their seed, or no policy can have the actions.
    """

    make: Make
    """`make(**constants)` is a `gymnasium.Env`; to be kept with a run it is a function or class of a module."""
    draw: Draw
    """`draw(generator)` gives the constants of a task, from a `numpy.random.Generator` alone."""
    horizon: Count | None = None
    """Steps of an episode at most; None: what the environment was registered with."""
    workers: Natural = 0
    """Processes that step the environments; 0: this one."""
    seed: int = 0

    def __post_init__(self) -> None:
        _refuse_missing()
        refuse_unseeded(self.make, self.draw)
        check_space(self.environment.actions)

    @functools.cached_property
    def environment(self) -> GymnasiumEnvironment:
        """What an agent acts in."""
        horizon = self.horizon or Here(self.make, self.draw, None).limit()
        if horizon is None:
            raise InputError("the environment does not say how long an episode is: give horizon=, a number of steps")
        return GymnasiumEnvironment(make=self.make, constants=self.draw, horizon=horizon, workers=self.workers)

    def episodes(self, first: int, count: int) -> Episode:
        """As of `EnvironmentTasks`, whose constants are the number of the task."""
        return self._tasks.episodes(first, count)

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        return self._tasks.describe()

    @property
    def _tasks(self) -> EnvironmentTasks:
        return EnvironmentTasks(environment=self.environment, seed=self.seed)


class _Host:
    """Environments of one kind, stepped by one thread at a time; processes begin when they are needed."""

    def __init__(self, make: Make, draw: Draw, horizon: int, workers: int) -> None:
        self._lock = threading.Lock()
        self._begin = lambda: Elsewhere(make, draw, horizon, workers) if workers else Here(make, draw, horizon)
        self._inner: Stepped | None = None
        self._spaces: Spaces | None = None

    def _running(self) -> Stepped:
        if self._inner is None:
            self._inner = self._begin()
            weakref.finalize(self, self._inner.close)
        return self._inner

    def spaces(self) -> Spaces:
        with self._lock:
            if self._spaces is None:
                self._spaces = self._running().spaces()
            return self._spaces

    def start(self, *arguments: Any) -> Any:
        with self._lock:
            return self._running().start(*arguments)

    def step(self, *arguments: Any) -> Any:
        with self._lock:
            return self._running().step(*arguments)

    def close(self) -> None:
        with self._lock:
            if self._inner is not None:
                self._inner.close()
            self._inner = None


_HOSTS: dict[int, _Host] = {}
_EPISODES = itertools.count()
_REGISTER = threading.Lock()


def _number(environment: GymnasiumEnvironment) -> int:
    """Number of the host of an environment, the same for equal ones."""
    with _REGISTER:
        return _registered(environment)


@functools.cache
def _registered(environment: GymnasiumEnvironment) -> int:
    number = len(_HOSTS)
    _HOSTS[number] = _Host(environment.make, environment.constants, environment.horizon, environment.workers)
    return number


def _refuse_missing() -> None:
    try:
        import gymnasium  # noqa: F401
    except ImportError as error:
        raise InputError("environments of Gymnasium need it: pip install 'innerloop[rl]'") from error


@torch.library.custom_op("innerloop::start_episodes", mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,))
def _start(numbers: Tensor, seeds: Tensor, host: int, length: int) -> tuple[Tensor, Tensor]:
    """[n] int64 new episodes of tasks [n] from seeds [n], and [n, length] first observations."""
    episodes = [next(_EPISODES) for _ in range(len(numbers))]
    seen = _HOSTS[host].start(episodes, numbers.tolist(), seeds.tolist())
    return torch.tensor(episodes, device=numbers.device), from_numpy(seen).to(numbers.device)


@torch.library.custom_op("innerloop::step_episodes", mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,))
def _step(episodes: Tensor, actions: Tensor, host: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """[n, length] observations, [n] rewards and [n] bool which are done, after actions [n] or [n, size]."""
    moved = _HOSTS[host].step(episodes.tolist(), actions.cpu().numpy())
    seen, rewards, done = (from_numpy(part).to(episodes.device) for part in moved)
    return seen, rewards, done


@_start.register_fake
def _(numbers: Tensor, seeds: Tensor, host: int, length: int) -> tuple[Tensor, Tensor]:
    return torch.empty_like(numbers), numbers.new_empty((len(numbers), length), dtype=torch.float32)


@_step.register_fake
def _(episodes: Tensor, actions: Tensor, host: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    seen = episodes.new_empty((len(episodes), length), dtype=torch.float32)
    return seen, seen.new_empty(len(episodes)), torch.empty_like(episodes, dtype=torch.bool)


def _all_tasks(op: Any, info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
    """One call for the rows of all tasks."""
    *tensors, host, length = args
    tasks = info.batch_size
    moved = [
        tensor.expand(tasks, *tensor.shape) if axis is None else tensor.movedim(axis, 0)
        for tensor, axis in zip(tensors, in_dims[:2], strict=True)
    ]
    n = moved[0].shape[1]
    outputs = op(*(tensor.flatten(0, 1) for tensor in moved), host, length)
    return tuple(out.unflatten(0, (tasks, n)) for out in outputs), (0,) * len(outputs)


_start.register_vmap(functools.partial(_all_tasks, _start))
_step.register_vmap(functools.partial(_all_tasks, _step))
