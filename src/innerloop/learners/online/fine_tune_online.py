"""Fine-tuning on a stream: one step of gradient descent on every batch as it arrives, and nothing kept of it.

Adaptation is that descent; it is what every method of continual learning is measured against (Lopez-Paz and Ranzato,
Gradient episodic memory, NeurIPS 2017, https://arxiv.org/abs/1706.08840, call it "single").
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from innerloop.core.inner import descend
from innerloop.core.model import Model
from innerloop.core.networks import Whole, role
from innerloop.core.online import OnlineLearner, among_seen, counted, no_counts
from innerloop.core.types import Batch, Metrics, Params


class Tuned(NamedTuple):
    """The network as it is now."""

    weights: Params
    counts: Tensor  # [ways] rows of each class that were seen; [0] for values


@dataclass(frozen=True, kw_only=True)
class FineTuneOnline(OnlineLearner[Tuned]):
    """Parameters are the network's; rows of its head whose class was never seen answer for nothing."""

    trains_on = ("episodes",)
    targets = ("classes", "values")

    model: Model = field(metadata=role(Whole(alone=True)))
    """x -> outputs."""
    inner_lr: float = 0.1
    """Step size on the mean loss of a batch."""

    def init(self, seed: int) -> Params:
        return self.model.init(seed)

    def begin(self, params: Params, like: Batch) -> Tuned:
        return Tuned(params, no_counts(self.model, params, like))

    def step(self, params: Params, state: Tuned, batch: Batch) -> Tuned:
        def loss(weights: Params) -> tuple[Tensor, Metrics]:
            return self.objective(self.model.apply(weights, batch.x), batch.y, batch.mask), {}

        weights, _ = descend(state.weights, loss, self.inner_lr)
        return Tuned(weights, counted(state.counts, batch))

    def predict(self, params: Params, adapted: Tuned, x: Tensor | dict[str, Tensor]) -> Tensor:
        return among_seen(self.model.apply(adapted.weights, x), adapted.counts)
