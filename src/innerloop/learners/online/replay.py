"""Experience replay: Chaudhry et al., On tiny episodic memories in continual learning, 2019, arXiv 1902.10486.

Adaptation is descent on every batch joined with as many rows drawn from a reservoir of what came before
(https://arxiv.org/abs/1902.10486). It is a strong baseline, which belongs into every table.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from innerloop.core import reservoir
from innerloop.core.inner import descend
from innerloop.core.online import counted, no_counts
from innerloop.core.online_weights import OnlineWeights
from innerloop.core.ranges import Count
from innerloop.core.reservoir import Reservoir
from innerloop.core.searched import INNER_LR
from innerloop.core.types import Batch, Params, joined


class Replayed(NamedTuple):
    """The network as it is now, and a sample of what it saw."""

    weights: Params
    counts: Tensor  # [ways] rows of each class that were seen; [0] for values
    memory: Reservoir


@dataclass(frozen=True, kw_only=True)
class Replay(OnlineWeights[Replayed]):
    """Parameters are the network's. A row that is drawn counts as one that arrives."""

    trains_on = ("episodes",)
    stochastic = True

    inner_lr: float = field(default=0.1, metadata=INNER_LR)
    """Step size on the mean loss of a batch and what is drawn beside it."""
    memory: Count = 200
    """Rows that are kept."""
    glances: Count = 1
    """Steps on every batch, each beside another draw."""

    def begin(self, params: Params, like: Batch) -> Replayed:
        return Replayed(params, no_counts(self.model, params, like), reservoir.empty(like, self.memory))

    def step(self, params: Params, state: Replayed, batch: Batch) -> Replayed:
        weights = state.weights
        for glance in range(self.glances):
            beside = reservoir.draw(state.memory, batch, number=glance)
            weights, _ = descend(weights, self.loss_on(joined(batch, beside)), self.inner_lr)
        return Replayed(weights, counted(state.counts, batch), reservoir.add(state.memory, batch))
