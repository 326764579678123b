"""Where environments of Gymnasium live while episodes run: in this process, or in others.

This file needs no torch, so that a process that only steps environments begins fast and stays small.
"""

import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from innerloop.core.errors import FailedError, InnerloopError, InputError

KEPT = 512
"""Environments without an episode that wait for the next one of their task; beyond these the oldest are closed."""
_SEED, _TRIED = 1234, 3
"""Seed of an episode, and how many of its steps are tried, to see whether an environment repeats itself."""

Make = Callable[..., Any]
"""`make(**constants)` is a `gymnasium.Env`."""
Draw = Callable[[np.random.Generator], Mapping[str, Any]]
"""The constants of a task, drawn from a generator alone."""
Moved = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]
"""Observations [n, d], rewards [n], and which episodes are done [n]."""


class Spaces(NamedTuple):
    """What an agent sees and does."""

    observations: int
    """Numbers of an observation, flattened as Gymnasium does: a discrete one is one-hot."""
    choices: int | None
    """How many actions there are to choose from; None: they are numbers."""
    size: int
    """Numbers of an action."""
    low: float
    high: float


class Stepped(Protocol):
    """What steps environments, by the numbers of episodes that the caller gives."""

    def spaces(self) -> Spaces:
        """What an agent sees and does in task 0."""
        ...

    def start(self, episodes: Sequence[int], tasks: Sequence[int], seeds: Sequence[int]) -> NDArray[np.float32]:
        """Begin episodes of tasks; [n, d] first observations."""
        ...

    def step(self, episodes: Sequence[int], actions: NDArray[Any]) -> Moved:
        """Step them; one that is over gives zeros and stays done."""
        ...

    def close(self) -> None:
        """End all, and free what they hold."""
        ...


@dataclass
class _Running:
    env: Any
    task: int
    steps: int = 0


class Here:
    """Environments in this process."""

    def __init__(self, make: Make, draw: Draw, horizon: int | None) -> None:
        self._make, self._draw, self._horizon = make, draw, horizon
        self._running: dict[int, _Running] = {}
        self._free: dict[int, list[Any]] = {}
        self._space: Any = None
        self._spaces: Spaces | None = None

    def spaces(self) -> Spaces:
        if self._spaces is None:
            env = self._taken(0)
            self._spaces, self._space = described(env), env.action_space
            self._give_back(_Running(env, 0))
        return self._spaces

    def limit(self) -> int | None:
        """Steps after which an environment of task 0 itself ends its episodes, where it says so."""
        env = self._taken(0)
        self._give_back(_Running(env, 0))
        return getattr(env.spec, "max_episode_steps", None)

    def constants(self, task: int) -> dict[str, Any]:
        """Those of a task."""
        return dict(self._draw(np.random.default_rng(task)))

    def start(self, episodes: Sequence[int], tasks: Sequence[int], seeds: Sequence[int]) -> NDArray[np.float32]:
        self.spaces()
        seen = []
        for episode, task, seed in zip(episodes, tasks, seeds, strict=True):
            running = _Running(self._taken(task), task)
            try:
                answer = running.env.reset(seed=seed)
            except TypeError as error:
                raise InputError(
                    f"{_name(running.env)}.reset takes no seed ({error}): without one nothing repeats. Give it "
                    "`def reset(self, *, seed=None, options=None)`, and draw from `self.np_random` alone"
                ) from error
            if not (isinstance(answer, tuple) and len(answer) == 2):
                raise InputError(f"{_name(running.env)}.reset must return (observation, info), as Gymnasium's does")
            self._running[episode] = running
            seen.append(self._observed(running, answer[0]))
        return np.stack(seen)

    def step(self, episodes: Sequence[int], actions: NDArray[Any]) -> Moved:
        spaces, n = self.spaces(), len(episodes)
        seen, rewards = np.zeros((n, spaces.observations), np.float32), np.zeros(n, np.float32)
        done = np.ones(n, np.bool_)
        for i, episode in enumerate(episodes):
            running = self._running.get(episode)
            if running is not None:
                seen[i], rewards[i], done[i] = self._step(running, actions[i])
                if done[i] or (self._horizon is not None and running.steps >= self._horizon):
                    self._give_back(self._running.pop(episode))
        return seen, rewards, done

    def _step(self, running: _Running, action: Any) -> tuple[NDArray[np.float32], float, bool]:
        answer = running.env.step(taken(self._space, self.spaces(), action))
        if not (isinstance(answer, tuple) and len(answer) == 5):
            raise InputError(
                f"{_name(running.env)}.step must return (observation, reward, terminated, truncated, info), as "
                "Gymnasium's does"
            )
        observation, reward, terminated, truncated, _ = answer
        if not np.isfinite(reward):
            raise FailedError(f"the reward is {reward} {self._where(running)}: nothing can be learned from it")
        running.steps += 1
        return self._observed(running, observation), float(reward), bool(terminated or truncated)

    def _observed(self, running: _Running, observation: Any) -> NDArray[np.float32]:
        from gymnasium.spaces.utils import flatten

        flat: Any = flatten(running.env.observation_space, observation)
        numbers = np.asarray(flat, np.float32)
        if not np.isfinite(numbers).all():
            raise FailedError(f"an observation is not finite {self._where(running)}: {numbers.tolist()}")
        return numbers

    def _where(self, running: _Running) -> str:
        constants = ", ".join(f"{k}={v}" for k, v in self.constants(running.task).items())
        return f"at step {running.steps} of the task {running.task} ({constants}) of {_name(running.env)}"

    def _taken(self, task: int) -> Any:
        if self._free.get(task):
            return self._free[task].pop()
        env = self._make(**self.constants(task))
        if self._spaces is not None and (described(env) != self._spaces or env.action_space != self._space):
            raise InputError(
                f"tasks differ in what is seen or done: task {task} has {env.observation_space} and "
                f"{env.action_space}. One policy needs the same spaces in all of them"
            )
        return env

    def _give_back(self, running: _Running) -> None:
        self._free.setdefault(running.task, []).append(running.env)
        if sum(map(len, self._free.values())) > KEPT:
            oldest = next(task for task, envs in self._free.items() if envs)
            self._free[oldest].pop().close()
            self._free = {task: envs for task, envs in self._free.items() if envs}

    def stop(self) -> None:
        """Break off what runs; its environments wait for the next episode."""
        for running in self._running.values():
            self._give_back(running)
        self._running = {}

    def close(self) -> None:
        for env in itertools.chain((running.env for running in self._running.values()), *self._free.values()):
            env.close()
        self._running, self._free = {}, {}


class Elsewhere:
    """Environments in other processes, each of which has its share of the episodes."""

    def __init__(self, make: Make, draw: Draw, horizon: int | None, workers: int) -> None:
        import cloudpickle  # comes with Gymnasium

        context, self._first = get_context("spawn"), Here(make, draw, horizon)
        self._pipes, self._processes = [], []
        for _ in range(workers):
            ours, theirs = context.Pipe()
            packed = cloudpickle.dumps((make, draw, horizon))
            process = context.Process(target=_serve, args=(theirs, packed), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def spaces(self) -> Spaces:
        return self._first.spaces()

    def start(self, episodes: Sequence[int], tasks: Sequence[int], seeds: Sequence[int]) -> NDArray[np.float32]:
        def part(rows: list[int]) -> tuple[Any, ...]:
            return "start", *([column[i] for i in rows] for column in (episodes, tasks, seeds))

        return self._asked(episodes, part, lambda answer: (answer,))[0]

    def step(self, episodes: Sequence[int], actions: NDArray[Any]) -> Moved:
        seen, rewards, done = self._asked(
            episodes, lambda rows: ("step", [episodes[i] for i in rows], actions[rows]), lambda answer: answer
        )
        return seen, rewards, done

    def _asked(self, episodes: Sequence[int], part: Callable[..., Any], read: Callable[[Any], Any]) -> list[Any]:
        """What all workers answer about their rows, in the order of the rows."""
        count = len(self._pipes)
        shares = [[i for i, episode in enumerate(episodes) if episode % count == worker] for worker in range(count)]
        asked = [(pipe, rows) for pipe, rows in zip(self._pipes, shares, strict=True) if rows]
        for pipe, rows in asked:
            pipe.send(part(rows))
        # All are read before anything is raised, so that no answer is left for the next question.
        answers = [_received(pipe) for pipe, _ in asked]
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        order = np.argsort(np.concatenate([rows for _, rows in asked]))
        columns = zip(*(read(answer) for answer in answers), strict=True)
        return [np.concatenate(column)[order] for column in columns]

    def close(self) -> None:
        self._first.close()
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            with contextlib.suppress(OSError):  # it has ended
                pipe.send(("close",))
            process.join(5)
            if process.is_alive():
                process.terminate()
            pipe.close()
        self._pipes, self._processes = [], []


def _received(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        return FailedError(
            "a process that steps environments ended by itself. Where a script starts it, that needs "
            '`if __name__ == "__main__":` around what the script does; workers=0 needs none'
        )


def _serve(pipe: Connection, packed: bytes) -> None:
    import pickle

    host = Here(*pickle.loads(packed))
    while True:
        try:
            name, *arguments = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            name, arguments = "close", []
        if name == "close":
            host.close()
            return
        try:
            pipe.send(getattr(host, name)(*arguments))
        except InnerloopError as error:
            pipe.send(type(error)(str(error)))
        except Exception as error:
            pipe.send(FailedError(f"an environment failed in another process: {type(error).__name__}: {error}"))


def described(env: Any) -> Spaces:
    """The spaces of an environment.

    Raises:
        InputError: No policy can have them.
    """
    from gymnasium import spaces
    from gymnasium.spaces.utils import flatdim

    space, name = env.action_space, _name(env)
    try:
        length = flatdim(env.observation_space)
    except (NotImplementedError, ValueError) as error:
        raise InputError(f"{name} shows {env.observation_space}, which is no fixed number of numbers") from error
    if isinstance(space, spaces.Discrete):
        return Spaces(length, int(space.n), 1, 0.0, 0.0)
    if not isinstance(space, spaces.Box) or not np.issubdtype(space.dtype, np.floating) or not np.prod(space.shape):
        raise InputError(
            f"{name} takes actions {space}, which no policy here has: it chooses one of n (Discrete) or gives numbers "
            "(Box of floats). Wrap the environment, for instance by gymnasium.wrappers.TransformAction"
        )
    size, low, high = int(np.prod(space.shape)), float(space.low.min()), float(space.high.max())
    alike = (space.low == low).all() and (space.high == high).all()
    if not alike:  # each number has its own bounds: a policy's are -1 and 1, or none
        low, high = (-1.0, 1.0) if np.isfinite(space.high - space.low).all() else (-np.inf, np.inf)
    return Spaces(length, None, size, low, high)


def taken(space: Any, spaces: Spaces, action: Any) -> Any:
    """What an environment is given for an action of a policy, within bounds."""
    if spaces.choices is not None:
        return int(action) + int(space.start)
    numbers = np.clip(np.asarray(action, np.float64).reshape(space.shape), spaces.low, spaces.high)
    if (spaces.low, spaces.high) == (-1.0, 1.0):
        numbers = space.low + (numbers + 1) / 2 * (space.high - space.low)
    return np.clip(numbers, space.low, space.high).astype(space.dtype)


def refuse_unseeded(make: Make, draw: Draw) -> None:
    """Let no environment be used whose episodes do not repeat: not in another one, and not in the same one later.

    Raises:
        InputError: The same task, seed and actions lead to something else a second time.
    """
    host, runs = Here(make, draw, None), []
    try:
        spaces = host.spaces()
        action = np.zeros(1, np.int64) if spaces.choices is not None else np.zeros((1, spaces.size), np.float32)
        for episode in (1, 2, 3):
            first = host.start([episode], [0], [_SEED])
            runs.append([first, *(part for _ in range(_TRIED) for part in host.step([episode], action))])
            if episode == 2:
                host.stop()
    finally:
        host.close()
    if not all(np.array_equal(a, b) for run in runs[1:] for a, b in zip(runs[0], run, strict=True)):
        name = getattr(make, "__name__", "the environment")
        raise InputError(
            f"{name} does not repeat itself: after reset(seed={_SEED}) the same actions led to something else a second "
            "time. Draw from `self.np_random` alone, which `super().reset(seed=seed)` seeds, and keep nothing from one "
            "episode to the next"
        )


def _name(env: Any) -> str:
    return type(getattr(env, "unwrapped", env)).__name__
