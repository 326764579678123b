"""An environment of somebody who knows Gymnasium and nothing else: a walk in a wind that differs from task to task."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Windy(gymnasium.Env):
    """A point is blown along a line, and is paid for staying near 0; it starts near 0 at random."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, wind: float = 0.0) -> None:
        self.wind, self.place = wind, 0.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = self.np_random.normal(0.0, 0.1)
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place += 0.2 * float(action[0]) + self.wind + self.np_random.normal(0.0, 0.01)
        return self._seen(), -abs(self.place), abs(self.place) > 1, False, {}

    def _seen(self) -> Any:
        return np.array([self.place, 1.0], np.float32)


class Forked(Windy):
    """Left, stay or right, counted from -1; what is seen is the last of them."""

    observation_space = spaces.Discrete(3)
    action_space = spaces.Discrete(3, start=-1)

    _last = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self._last = 0
        return super().reset(seed=seed)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._last = action
        return super().step([action])

    def _seen(self) -> Any:
        return self._last + 1


class Uneven(Windy):
    """Every number of an action has its own bounds."""

    action_space = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 4.0], np.float32))
    last: Any = None

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        Uneven.last = action
        return super().step(action)


class Unseeded(Windy):
    """Draws from a generator of its own."""

    _own = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.place = self._own.normal(0.0, 0.1)
        return self._seen(), {}


class Remembering(Windy):
    """Keeps something from one episode to the next."""

    _episodes = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self._episodes += 1
        super().reset(seed=seed)
        self.place += 0.1 * self._episodes
        return self._seen(), {}


class Seedless(Windy):
    """Of the days before Gymnasium."""

    def reset(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._seen()


class Broken(Windy):
    """Its reward is NaN at the fourth step."""

    _steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self._steps = 0
        return super().reset(seed=seed)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        seen, reward, *rest = super().step(action)
        return seen, float("nan") if self._steps > 3 else reward, *rest  # pyright: ignore[reportReturnType]


class Over(Windy):
    """Done at once."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self._seen(), 1.0, True, False, {}


class Manifold(Windy):
    """Actions that no policy has."""

    action_space = spaces.MultiDiscrete([2, 3])


def drawn(rng: np.random.Generator) -> dict[str, float]:
    """A wind that blows for a whole task."""
    return {"wind": float(rng.uniform(-0.1, 0.1))}
