"""Distributions of actions: what outputs of a policy's network mean in a space, jointly over an action's numbers."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from innerloop.core import random
from innerloop.core.environment import Box, Discrete, Space, check_space
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, NotNegative

_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
_SMALLEST = 2.0**-25
"""Half of the step of `random.uniform`: the logarithm of 0 is not finite."""

_SURE = 100.0
"""A logit above all others, or a deviation of exp(-100)."""


@dataclass(frozen=True)
class Actions(Checked):
    """Actions as a policy draws them.

    Normal in a box, with means and logarithms of deviations as outputs; categorical among n, with logits as outputs.
    What is drawn is kept as it was before a box squashes or an environment clips it, so that its probability is exact.
    """

    space: Space
    squash: bool = False
    """Bring what is drawn between the bounds of a box by a tanh, as soft actor-critic does; otherwise it is left to the
    environment, which clips it."""
    floor: NotNegative = 0.0
    """The deviation of what is drawn is at least this."""

    def __post_init__(self) -> None:
        check_space(self.space)
        if self.squash and (isinstance(self.space, Discrete) or not math.isfinite(self.space.high - self.space.low)):
            raise InputError(f"squash=True needs actions between bounds that are finite, and these are {self.space}")

    @property
    def outputs(self) -> int:
        """How many a policy's network has."""
        return self.space.n if isinstance(self.space, Discrete) else 2 * self.space.size

    @property
    def numbers(self) -> int:
        """How many a recurrent policy is told of its last action: one for each of n, or those of a box."""
        return self.space.n if isinstance(self.space, Discrete) else self.space.size

    def told(self, action: Tensor, dtype: torch.dtype) -> Tensor:
        """[n, numbers] of what was drawn: 1 for the one of n, or as it is."""
        if isinstance(self.space, Discrete):
            return (action[..., None] == torch.arange(self.space.n, device=action.device)).to(dtype)
        return action.to(dtype)

    def noise(self, keys: Tensor, n: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """[steps, n, k] what `draw` takes of every step, from [steps] keys."""
        if isinstance(self.space, Discrete):  # Gumbel's
            u = random.uniform(keys, (n, self.space.n), torch.float64).clamp(min=_SMALLEST)
            return -torch.log(-torch.log(u)).to(dtype)
        return random.normal(keys, (n, self.space.size), dtype)

    def blank(self, noise: Tensor) -> Tensor:
        """Zeros in the shape of what is drawn by a step's noise, which stand for the action before the first."""
        return torch.zeros_like(noise[..., 0]).long() if isinstance(self.space, Discrete) else torch.zeros_like(noise)

    def draw(self, outputs: Tensor, noise: Tensor) -> Tensor:
        """[n] int64 or [n, k] drawn for [n, outputs] by a step's noise."""
        if isinstance(self.space, Discrete):
            return (outputs + noise).argmax(-1)
        mean, log_std = self._normal(outputs)
        return mean + log_std.exp() * noise

    def likeliest(self, outputs: Tensor) -> Tensor:
        """What has the highest probability, or the mean: [n] or [n, k]."""
        return outputs.argmax(-1) if isinstance(self.space, Discrete) else self._normal(outputs)[0]

    def certain(self, action: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """[n, outputs] with which nothing else than this [n] or [n, k] is drawn, but for rounding; without `squash`."""
        if isinstance(self.space, Discrete):
            return _SURE * self.told(action, dtype)
        return torch.cat([action, torch.full_like(action, -_SURE)], -1)

    def taken(self, drawn: Tensor) -> Tensor:
        """The action that the environment is given."""
        if not (self.squash and isinstance(self.space, Box)):
            return drawn
        low, high = self.space.low, self.space.high
        return low + (high - low) * (0.5 + 0.5 * torch.tanh(drawn))

    def log_prob(self, outputs: Tensor, drawn: Tensor) -> Tensor:
        """[...] joint log-probability, or density of what is taken, of what was drawn, [...] int64 or [..., k]."""
        if isinstance(self.space, Discrete):
            return torch.gather(F.log_softmax(outputs, -1), -1, drawn[..., None])[..., 0]
        mean, log_std = self._normal(outputs)
        density = -0.5 * ((drawn - mean) * (-log_std).exp()).square() - log_std - _HALF_LOG_TAU
        if self.squash:
            # log(1 - tanh(u)^2), without the rounding where tanh(u) is near 1.
            slope = 2 * (math.log(2) - drawn - F.softplus(-2 * drawn))
            density = density - slope - math.log(0.5 * (self.space.high - self.space.low))
        return density.sum(-1)

    def divergence(self, before: Tensor, after: Tensor) -> Tensor:
        """[...] nats, Kullback and Leibler's of the distribution of `after` from that of `before`, KL(before || after).

        A tanh does not change it.
        """
        if isinstance(self.space, Discrete):
            p, q = F.log_softmax(before, -1), F.log_softmax(after, -1)
            return (p.exp() * (p - q)).sum(-1)
        (mean, log_std), (other, log_other) = self._normal(before), self._normal(after)
        spread = ((2 * log_std).exp() + (mean - other).square()) * 0.5 * (-2 * log_other).exp()
        return (log_other - log_std + spread - 0.5).sum(-1)

    def entropy(self, outputs: Tensor) -> Tensor:
        """[...] in nats; of a squashed box, that of the normal distribution before the tanh."""
        if isinstance(self.space, Discrete):
            p = F.log_softmax(outputs, -1)
            return -(p.exp() * p).sum(-1)
        return (self._normal(outputs)[1] + _HALF_LOG_TAU + 0.5).sum(-1)

    def _normal(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = outputs.chunk(2, -1)
        return mean, log_std.clamp(min=math.log(self.floor)) if self.floor else log_std
