"""A pole on a cart, whose masses, length and force differ from task to task.

Barto, Sutton and Anderson 1983, https://doi.org/10.1109/TSMC.1983.6313077, with the constants, the integration and the
bounds of Gymnasium's CartPole-v1, which it is where nothing is drawn.
"""

import math
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.config import LATER
from innerloop.core.environment import Box, Discrete, Environment, Task
from innerloop.core.errors import InputError
from innerloop.core.ranges import Count, Share

GRAVITY, SECONDS = 9.8, 0.02
"""In m/s^2, and the time between two steps."""
EDGE, TILT = 2.4, 12 * math.pi / 180
"""Done where the cart is further from the middle (m), or the pole from upright (rad)."""
_START, _LATER = 0.05, 1
_Bounds = Annotated[tuple[float, float], "two numbers above 0, the least first"]


class Motion(NamedTuple):
    """Position (m), velocity, angle from upright (rad) and its velocity."""

    numbers: Tensor  # [n, 4]
    time: Tensor | None = None  # [n] int64 steps so far, where constants change


@dataclass(frozen=True, kw_only=True)
class CartPole(Environment[Motion]):
    """Task: masses of cart and pole (kg), half the pole's length (m) and the force (N), log-uniform within bounds.

    The reward is 1 for every step until the pole falls or the cart leaves its track. An observation is the state.

    Raises:
        InputError: Bounds that are not above 0, or in the wrong order; a change that no episode lives to see.
    """

    horizon: Count = 200
    continuous: bool = False
    """Actions are numbers from -1 to 1, shares of the force, instead of 0 (push to the left) and 1 (to the right)."""
    cart: _Bounds = (0.5, 2.0)
    pole: _Bounds = (0.05, 0.5)
    half_length: _Bounds = (0.25, 1.5)
    force: _Bounds = (5.0, 20.0)
    reversed: Share = 0.0
    """Share of tasks in which the force has the other direction, so that no policy fits all tasks."""
    changes: Count | None = field(default=None, metadata=LATER)
    """From this step of every episode on, the constants are those of another draw. None: they stay."""

    def __post_init__(self) -> None:
        for name in ("cart", "pole", "half_length", "force"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise InputError(f"{name} must be two numbers above 0, the least first, got {(low, high)}")
        if self.changes is not None and self.changes >= self.horizon:
            raise InputError(
                f"constants that change at step {self.changes} never do in episodes of {self.horizon}: "
                "give changes below horizon, or a longer horizon"
            )

    @property
    def observations(self) -> int:
        """The state, 4 numbers."""
        return 4

    @property
    def actions(self) -> Discrete | Box:
        """Left and right, or shares of the force."""
        return Box(1, -1.0, 1.0) if self.continuous else Discrete(2)

    def draw(self, key: Tensor) -> Task:
        task = self._drawn(key)
        if self.changes is None:
            return task
        return task | {f"later_{name}": value for name, value in self._drawn(random.fold(key, _LATER)).items()}

    def _drawn(self, key: Tensor) -> Task:
        u = random.uniform(key, (5,))

        def between(bounds: tuple[float, float], share: Tensor) -> Tensor:
            low, high = map(math.log, bounds)
            return torch.exp(low + (high - low) * share)

        force = between(self.force, u[3]) * torch.where(u[4] < self.reversed, -1.0, 1.0)
        bounds = {"cart": self.cart, "pole": self.pole, "half_length": self.half_length}
        return {name: between(b, u[i]) for i, (name, b) in enumerate(bounds.items())} | {"force": force}

    def start(self, task: Task, n: int, key: Tensor) -> Motion:
        numbers = _START * (2 * random.uniform(key, (n, 4), task["cart"].dtype) - 1)
        return Motion(numbers, None if self.changes is None else torch.zeros_like(numbers[:, 0]).long())

    def observe(self, task: Task, state: Motion) -> Tensor:
        return state.numbers

    def step(self, task: Task, state: Motion, action: Tensor, key: Tensor) -> tuple[Motion, Tensor, Tensor]:
        time = state.time
        if self.changes is not None and time is not None:
            names = ("cart", "pole", "half_length", "force")
            task, time = {k: torch.where(time < self.changes, task[k], task[f"later_{k}"]) for k in names}, time + 1
        x, speed, angle, turning = state.numbers.unbind(-1)
        share = action[..., 0].clamp(-1, 1) if self.continuous else (2 * action - 1).to(x.dtype)
        total, moment = task["cart"] + task["pole"], task["pole"] * task["half_length"]
        sine, cosine = torch.sin(angle), torch.cos(angle)
        push = (share * task["force"] + moment * turning.square() * sine) / total
        spin = (GRAVITY * sine - cosine * push) / (
            task["half_length"] * (4 / 3 - task["pole"] * cosine.square() / total)
        )
        pull = push - moment * spin * cosine / total
        rates = torch.stack([speed, pull, turning, spin], -1)
        numbers = state.numbers + SECONDS * rates
        return Motion(numbers, time), torch.ones_like(x), self.falls(numbers)

    def outlook(self, observation: Tensor, action: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        """What a planner counts of a step: [...] 1 in the middle, falling to 0 at the bounds, and whether it falls.

        It tells plans apart none of which falls; what an agent earns is the reward of `step` alone.
        """
        off = (following[..., 0] / EDGE).square() + (following[..., 2] / TILT).square()
        return 1 - 0.5 * off, self.falls(following)

    def falls(self, observation: Tensor) -> Tensor:
        """[...] bool, whether an episode ends in such a state [..., 4]."""
        return (observation[..., 0].abs() > EDGE) | (observation[..., 2].abs() > TILT)
