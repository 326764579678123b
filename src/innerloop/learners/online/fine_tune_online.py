"""Fine-tuning on a stream: one step of gradient descent on every batch as it arrives, and nothing kept of it.

Adaptation is that descent; it is what every method of continual learning is measured against (Lopez-Paz and Ranzato,
Gradient episodic memory, NeurIPS 2017, https://arxiv.org/abs/1706.08840, call it "single").
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from innerloop.core.inner import descend
from innerloop.core.online import counted, no_counts
from innerloop.core.online_weights import OnlineWeights
from innerloop.core.searched import INNER_LR
from innerloop.core.types import Batch, Params


class Tuned(NamedTuple):
    """The network as it is now."""

    weights: Params
    counts: Tensor  # [ways] rows of each class that were seen; [0] for values


@dataclass(frozen=True, kw_only=True)
class FineTuneOnline(OnlineWeights[Tuned]):
    """Parameters are the network's."""

    trains_on = ("episodes",)

    inner_lr: float = field(default=0.1, metadata=INNER_LR)
    """Step size on the mean loss of a batch."""

    def begin(self, params: Params, like: Batch) -> Tuned:
        return Tuned(params, no_counts(self.model, params, like))

    def step(self, params: Params, state: Tuned, batch: Batch) -> Tuned:
        weights, _ = descend(state.weights, self.loss_on(batch), self.inner_lr)
        return Tuned(weights, counted(state.counts, batch))
