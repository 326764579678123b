"""What gradient learners share: inner steps, and weights that were adapted by them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.gradient import value_and_grad
from innerloop.core.learner import Carry, EpisodicClassifier, Unrolled
from innerloop.core.model import Model
from innerloop.core.objectives import classification
from innerloop.core.searched import INNER_STEPS
from innerloop.core.sensible import INNER_LOOP, by_kind
from innerloop.core.types import Batch, Metrics, Params

Loss = Callable[[Params], tuple[Tensor, Metrics]]
_BETA2, _EPS = 0.999, 1e-8


def descend(
    weights: Params, loss: Loss, rate: float | Tensor | Params, first_order: bool = False
) -> tuple[Params, Tensor]:
    """One step of gradient descent, `w - rate * grad loss(w)`.

    Args:
        weights: Fast weights.
        loss: Scalar function of them, and nothing else.
        rate: A number, or tensors by the name of the weight (Meta-SGD); weights without one stay as they are.
        first_order: Treat the gradient as a constant.

    Returns:
        The weights after the step, and the loss before it.
    """
    moving = {k: weights[k] for k in rate} if isinstance(rate, dict) else weights
    gradient, value, _ = value_and_grad(lambda w: loss(weights | w), moving, create_graph=not first_order)
    if isinstance(rate, dict):
        return weights | tree.map(lambda w, g, a: w - a * g, moving, gradient, rate), value
    return tree.map(lambda w, g: w - rate * g, weights, gradient), value


def rescaled(gradient: Params, second: Params, step: Tensor) -> tuple[Params, Params]:
    """Adam's direction without momentum (beta1 = 0, beta2 = 0.999), as meta-learning by Reptile trains within a task.

    Args:
        gradient: Of this step.
        second: Second moments before it.
        step: [] int64, its number, from 1.

    Returns:
        The direction, and the second moments after it.
    """
    second = tree.map(lambda s, g: _BETA2 * s + (1 - _BETA2) * g.square(), second, gradient)
    bias = -torch.expm1(step.double() * math.log(_BETA2))
    return tree.map(lambda g, s: g / ((s / bias.to(s.dtype)).sqrt() + _EPS), gradient, second), second


def per_step(weights: Params, steps: int, value: float, each: bool = False) -> Params:
    """Meta-parameters for the steps of every weight: [steps], or where `each` entry has its own [steps, ...]."""
    return tree.map(lambda w: torch.full((steps, *(w.shape if each else ())), value, dtype=w.dtype), weights)


def at_step(rows: Params, step: Tensor) -> Params:
    """The rows of step number `step` ([] int64), from 0; past the last, the last ones."""
    return tree.map(lambda r: r.index_select(0, step.clamp(max=r.shape[0] - 1)[None])[0], rows)


def first_step(weights: Params) -> Tensor:
    """[] int64 0, where the weights are."""
    return torch.zeros((), dtype=torch.int64, device=next(iter(weights.values())).device)


@dataclass(frozen=True, kw_only=True)
class FastWeights(EpisodicClassifier[Params], Unrolled[Params, Carry], Generic[Carry]):
    """A learner whose adapted state is the weights of `model`, with the support's batch-norm statistics.

    Transductive, the statistics stay out and `predict` uses those of the rows it is given.
    """

    targets = ("classes", "values")
    sensible = by_kind(classes=INNER_LOOP)

    model: Model
    """x -> outputs of a task."""
    inner_steps: int = field(default=1, metadata=INNER_STEPS)
    """Steps in training and, unless replaced, in testing."""

    def init(self, seed: int) -> Params:
        return self.model.init(seed)

    def with_statistics(self, weights: Params, support: Batch) -> Params:
        """`weights` as `predict` wants them."""
        return weights if self.transductive else self.model.with_statistics(weights, support.x, support.mask)

    def predict(self, params: Params, adapted: Params, x: Tensor | dict[str, Tensor]) -> Tensor:
        return self.model.apply(adapted, x)

    def support_loss(self, support: Batch) -> Loss:
        """The objective on the support as a function of the weights; batch norms see the real rows."""
        x, y, mask = support.x, support.y, support.mask
        if self.weighs and support.weight is not None:
            weight = support.weight
            return lambda weights: (classification(self.model.apply(weights, x, mask), y, mask, weight), {})
        return lambda weights: (self.objective(self.model.apply(weights, x, mask), y, mask), {})
