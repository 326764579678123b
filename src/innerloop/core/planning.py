"""Plans: sequences of actions that are tried in a model, of which the first action is taken and the rest made anew.

Random shooting takes the best of many random sequences; the cross-entropy method (Rubinstein 1999; for control with
learned models Chua et al., NeurIPS 2018, https://arxiv.org/abs/1805.12114) draws again near the best ones.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from innerloop.core import random
from innerloop.core.environment import Box, Discrete, Space, check_space
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Count, Share

_SMALLEST = 2.0**-25
"""Half of the step of `random.uniform`: the logarithm of 0 is not finite."""
_SPREAD = 0.05
"""Least deviation of a number of a box, as a share of half its range: of a few of the best, one is 0 by chance."""
_DOUBT = 0.02
"""Added to every share of an action among the best, before it is drawn by."""

Value = Callable[[Tensor], Tensor]
"""[n, candidates, steps] int64, or [n, candidates, steps, size] -> [n, candidates] what a sequence is worth."""


@dataclass(frozen=True)
class Planner(Checked):
    """How sequences of actions are searched."""

    space: Space
    ahead: Count = 15
    """Steps of a sequence."""
    candidates: Count = 64
    """Sequences of a round."""
    rounds: Count = 1
    """1: random shooting. More: the cross-entropy method."""
    elite: Share = 0.1
    """Share of the sequences of a round that the next one is drawn like."""

    def __post_init__(self) -> None:
        check_space(self.space)
        if isinstance(self.space, Box) and not math.isfinite(self.space.high - self.space.low):
            raise InputError(
                f"a planner draws actions between bounds that are finite, got {self.space}: wrap the environment in "
                "one that has bounds"
            )

    def plan(self, value: Value, n: int, key: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """[n, steps] int64 or [n, steps, size], the best sequence of those that were tried, for each of `n`.

        Args:
            value: What sequences are worth.
            n: Trajectories, each of which has a plan of its own.
            key: [] int64.
            dtype: Of a box's actions.
        """
        few = max(1, round(self.elite * self.candidates))
        tried = self._anywhere(n, random.fold(key, 0), dtype)
        best = self._best(tried, value, few)
        for number in range(1, self.rounds):
            tried = self._near(best, random.fold(key, number), dtype)
            # What was best so far is never lost.
            best = self._best(torch.cat([tried, best], 1), value, few)
        return best[:, 0]

    def _best(self, tried: Tensor, value: Value, few: int) -> Tensor:
        """The `few` best sequences, the very best first."""
        worth = value(tried)
        # A model that leads to no number is no reason to go there.
        worth = torch.where(worth.isnan(), -math.inf, worth)
        order = torch.sort(worth, dim=-1, descending=True, stable=True).indices
        index = order[:, :few].reshape(len(tried), few, *(1,) * (tried.ndim - 2))
        return torch.take_along_dim(tried, index, 1)

    def _anywhere(self, n: int, key: Tensor, dtype: torch.dtype) -> Tensor:
        """[n, candidates, steps, ...] actions that are all alike."""
        shape = (n, self.candidates, self.ahead)
        if isinstance(self.space, Discrete):
            return (random.uniform(key, shape, torch.float64) * self.space.n).long()
        low, high = self.space.low, self.space.high
        return low + (high - low) * random.uniform(key, (*shape, self.space.size), dtype)

    def _near(self, best: Tensor, key: Tensor, dtype: torch.dtype) -> Tensor:
        """As many, drawn step by step like the best ones."""
        n = len(best)
        if isinstance(self.space, Discrete):
            share = F.one_hot(best, self.space.n).to(torch.float64).mean(1) + _DOUBT
            u = random.uniform(key, (n, self.candidates, self.ahead, self.space.n), torch.float64)
            return (torch.log(share)[:, None] - torch.log(-torch.log(u.clamp(min=_SMALLEST)))).argmax(-1)
        low, high = self.space.low, self.space.high
        spread = best.std(1, correction=0).clamp(min=_SPREAD * (high - low) / 2)
        noise = random.normal(key, (n, self.candidates, self.ahead, self.space.size), dtype)
        return (best.mean(1)[:, None] + spread[:, None] * noise).clamp(low, high)
