"""Environments in tensors as `gymnasium.Env`, for whatever speaks Gymnasium: other libraries' agents, its wrappers."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from innerloop.core import random
from innerloop.core.environment import Box, Environment, Task
from innerloop.core.errors import InputError

if TYPE_CHECKING:
    import gymnasium


def as_gymnasium(environment: Environment[Any], task: Task | None = None) -> "gymnasium.Env[Any, Any]":
    """One task of an environment, one trajectory at a time.

    What is drawn comes from the seed of `reset`, and without one goes on from the last: `reset(seed=0)` twice gives the
    same episode twice. An episode is truncated after the environment's horizon.

    Args:
        environment: Any.
        task: Its constants, as `draw` gives them; None: drawn anew at every `reset`, or of `options={"task": number}`.

    Raises:
        InputError: Gymnasium is not installed.
    """
    try:
        import gymnasium
        from gymnasium import spaces
    except ImportError as error:
        raise InputError("a gymnasium.Env needs Gymnasium: pip install 'innerloop[rl]'") from error
    actions = environment.actions

    class Tensors(gymnasium.Env[Any, Any]):
        """An environment in tensors."""

        def __init__(self) -> None:
            self.observation_space = spaces.Box(-np.inf, np.inf, (environment.observations,), np.float32)
            if isinstance(actions, Box):
                self.action_space = spaces.Box(actions.low, actions.high, (actions.size,), np.float32)
            else:
                self.action_space = spaces.Discrete(actions.n)
            self.task, self._state, self._steps = task, None, 0
            self._key = torch.zeros((), dtype=torch.int64)

        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[Any, dict[str, Any]]:
            super().reset(seed=seed)
            self._key, self._steps = torch.tensor(int(self.np_random.integers(2**32))), 0
            if task is None:
                number = (options or {}).get("task")
                key = self._key if number is None else random.mix(0, number)
                self.task = environment.draw(random.fold(key, 1))
            assert self.task is not None
            self._state = environment.start(self.task, 1, random.fold(self._key, 2))
            return self._seen(), {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            if self._state is None or self.task is None:
                raise gymnasium.error.ResetNeeded("call reset() before step()")
            if not self.action_space.contains(action):
                raise InputError(f"{action!r} is no action of {self.action_space}: take one that is")
            self._steps += 1
            key = random.fold(self._key, 2 + self._steps)
            taken = torch.as_tensor(action).reshape(1, *np.shape(action))
            self._state, reward, done = environment.step(self.task, self._state, taken, key)
            truncated = self._steps >= environment.horizon
            return self._seen(), float(reward), bool(done), truncated and not bool(done), {}

        def _seen(self) -> Any:
            assert self.task is not None
            return environment.observe(self.task, self._state)[0].float().numpy().copy()

    Tensors.__name__ = Tensors.__qualname__ = type(environment).__name__
    return Tensors()
