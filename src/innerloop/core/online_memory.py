"""What learners share that keep a sample of a stream beside the weights that they move along it."""

import abc
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from innerloop.core import reservoir
from innerloop.core.online import counted, no_counts
from innerloop.core.online_weights import OnlineWeights
from innerloop.core.ranges import Count
from innerloop.core.reservoir import Reservoir
from innerloop.core.searched import INNER_LR
from innerloop.core.types import Batch, Params


class Remembered(NamedTuple):
    """The network as it is now, and a sample of what it saw."""

    weights: Params
    counts: Tensor  # [ways] rows of each class that were seen; [0] for values
    memory: Reservoir


@dataclass(frozen=True, kw_only=True)
class OnlineMemory(OnlineWeights[Remembered]):
    """A learner that descends on what arrives and on what it remembers: one reservoir of all that came."""

    stochastic = True

    inner_lr: float = field(default=0.1, metadata=INNER_LR)
    """Step size on the mean loss of the rows of a step."""
    memory: Count = 200
    """Rows that are kept."""

    def begin(self, params: Params, like: Batch) -> Remembered:
        return Remembered(params, no_counts(self.model, params, like), reservoir.empty(like, self.memory))

    def step(self, params: Params, state: Remembered, batch: Batch) -> Remembered:
        weights = self.moved(state, batch)
        return Remembered(weights, counted(state.counts, batch), reservoir.add(state.memory, batch))

    @abc.abstractmethod
    def moved(self, state: Remembered, batch: Batch) -> Params:
        """The weights after a batch, which the memory does not hold yet."""
