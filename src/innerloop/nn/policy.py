"""Policies: from what an agent sees to the distribution of what it does."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from innerloop.core.model import Model
from innerloop.core.ranges import Count, Positive
from innerloop.nn.mlp import MLP


@dataclass(frozen=True)
class Gaussian(Model):
    """A mean for every number of an action, and logarithms of deviations that do not depend on what is seen.

    [n, inputs] -> [n, 2 size]: the means, then the logarithms.
    """

    inputs: Count = 2
    hidden: tuple[Count, ...] = (64, 64)
    """None: linear in its inputs, a head."""
    size: Count = 2
    """Numbers of an action."""
    activation: Literal["relu", "tanh", "elu"] = "tanh"
    start_std: Positive = 1.0
    """Deviation of actions to begin with, in the environment's units."""

    def build(self) -> nn.Module:
        return _Gaussian(MLP(self.inputs, self.hidden, self.size, self.activation).build(), self.size, self.start_std)


class _Gaussian(nn.Module):
    def __init__(self, mean: nn.Module, size: int, std: float):
        super().__init__()
        self.mean, self.log_std = mean, nn.Parameter(torch.full((size,), math.log(std)))

    def forward(self, x: Tensor) -> Tensor:
        mean = self.mean(x)
        return torch.cat([mean, self.log_std.expand_as(mean)], -1)
