"""Experience replay: Chaudhry et al., On tiny episodic memories in continual learning, 2019, arXiv 1902.10486.

Adaptation is descent on every batch joined with as many rows drawn from a reservoir of what came before
(https://arxiv.org/abs/1902.10486). It is a strong baseline, which belongs into every table.
"""

from dataclasses import dataclass

from innerloop.core import reservoir
from innerloop.core.inner import descend
from innerloop.core.online_memory import OnlineMemory, Remembered
from innerloop.core.ranges import Count
from innerloop.core.types import Batch, Params, joined


@dataclass(frozen=True, kw_only=True)
class Replay(OnlineMemory):
    """Parameters are the network's. A row that is drawn counts as one that arrives."""

    trains_on = ("episodes",)

    glances: Count = 1
    """Steps on every batch, each beside another draw."""

    def moved(self, state: Remembered, batch: Batch) -> Params:
        weights = state.weights
        for glance in range(self.glances):
            beside = reservoir.draw(state.memory, batch, number=glance)
            weights, _ = descend(weights, self.loss_on(joined(batch, beside)), self.inner_lr)
        return weights
