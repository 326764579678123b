"""Model-Agnostic Meta-Learning: Finn, Abbeel, Levine, ICML 2017, https://arxiv.org/abs/1703.03400.

Adaptation is a few steps of gradient descent from a learned initialisation; the meta-gradient passes through them.
"""

from dataclasses import dataclass, field, replace

from torch import Tensor

from innerloop.core import tree
from innerloop.core.gradient import grad
from innerloop.core.inner import FastWeights, descend
from innerloop.core.objectives import classification
from innerloop.core.searched import INNER_LR
from innerloop.core.sensible import FROZEN_ROWS, INNER_LOOP, WEIGHED_WORDS, by_kind
from innerloop.core.types import Batch, Episode, Params


@dataclass(frozen=True, kw_only=True)
class MAML(FastWeights[Params]):
    """MAML, and with `first_order=True` FOMAML (section 5.2 of the paper)."""

    trains_on = ("episodes",)
    # From a head of zeros, one long step makes a centroid of every class.
    sensible = by_kind(
        classes=INNER_LOOP,
        texts=replace(FROZEN_ROWS, fields={"inner_lr": 8.0}, task={}),
        entities=replace(WEIGHED_WORDS, fields={"inner_lr": 8.0}),
    )

    inner_lr: float = field(default=0.4, metadata=INNER_LR)
    """Step size on the mean support loss. The paper's code sums over classes: its 0.4 for 5 ways is 2.0 here."""
    first_order: bool = False
    """Treat the inner gradients as constants."""

    @property
    def weighs(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        # Batch norms see every row once, and a loss of one's own knows no weights.
        return self.objective is classification and not self.model.norm_weights()

    @property
    def exact_gradient(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return not self.first_order

    def start(self, params: Params, support: Batch) -> Params:
        return params

    def advance(self, params: Params, carry: Params, support: Batch) -> tuple[Params, Tensor]:
        return descend(carry, self.support_loss(support), self.inner_lr, self.first_order)

    def finish(self, params: Params, carry: Params, support: Batch) -> Params:
        return self.with_statistics(carry, support)

    def reference_gradient(self, params: Params, episode: Episode) -> Params | None:
        """The gradient of FOMAML: that of the query loss at the adapted weights, taken for that at the initial ones."""
        if not self.first_order:
            return None
        support, query = episode
        adapted = tree.map(Tensor.detach, self.unroll(params, support))
        return grad(lambda weights: self.query_loss(params, self.finish(params, weights, support), query)[0], adapted)
