"""Learning to adapt: GrBAL of Nagabandi et al., ICLR 2019, https://arxiv.org/abs/1803.11347.

With a loss of its own for adapting, it is L2A of Tonioni et al., CVPR 2019, https://arxiv.org/abs/1904.02957.
Adaptation is gradient descent on the most recent past of a stream, from a learned initialisation and begun afresh at
every moment; its loss may be another than the one that counts, such as one that needs no labels.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.inner import FastWeights, Loss, descend
from innerloop.core.searched import INNER_LR, INNER_STEPS
from innerloop.core.types import Batch, Params


@dataclass(frozen=True, kw_only=True)
class LearningToAdapt(FastWeights[Params]):
    """In training, the support is a window of a stream and the query is what follows it."""

    trains_on = ("episodes",)

    inner_lr: float = field(default=0.05, metadata=INNER_LR)
    """Step size on the loss of the window. The authors' code sums what we average, with 0.001."""
    inner_steps: int = field(default=1, metadata=INNER_STEPS)
    inner_loss: Callable[[Tensor, Batch], Tensor] | None = None
    """`(outputs, window) -> scalar`, over the rows of its mask: what can be had while the stream runs. None: the
    objective, which needs labels."""
    first_order: bool = False
    """Treat the inner gradients as constants."""

    @property
    def exact_gradient(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return not self.first_order

    def start(self, params: Params, support: Batch) -> Params:
        return params

    def advance(self, params: Params, carry: Params, support: Batch) -> tuple[Params, Tensor]:
        return descend(carry, self.support_loss(support), self.inner_lr, self.first_order)

    def finish(self, params: Params, carry: Params, support: Batch) -> Params:
        return self.with_statistics(carry, support)

    def support_loss(self, support: Batch) -> Loss:
        inner_loss = self.inner_loss
        if inner_loss is None:
            return super().support_loss(support)
        return lambda weights: (inner_loss(self.model.apply(weights, support.x, support.mask), support), {})

    def follow(self, params: Params, stream: Batch, window: int) -> Tensor:
        """Predictions of every row of a stream, each after adapting to the `window` rows before it, and to no other.

        The first rows have fewer before them; the very first is predicted without adaptation.

        Args:
            params: As meta-trained.
            stream: [n, ...] x and y in the order of time.
            window: How many rows are looked back on (the paper's M).

        Returns:
            [n, ...] outputs.
        """
        if window < 1:
            raise InputError(f"a window has at least 1 row, got {window}")
        x = stream.x
        if isinstance(x, dict):
            raise InputError("follow takes a stream whose x is one tensor, got a dict")
        n = x.shape[0]
        rows = torch.arange(n, device=x.device)[:, None] - torch.arange(window, 0, -1, device=x.device)  # [n, window]

        def predict(now: Tensor, before: Tensor, real: Tensor) -> Tensor:
            recent = Batch(x[before], stream.y[before], real, stream.classes, stream.key)
            return self.predict(params, self.adapt(params, recent), now[None])[0]

        return torch.vmap(predict)(x, rows.clamp(min=0), rows >= 0)
