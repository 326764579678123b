"""Hyper-gradients through an inner loop: Maclaurin, Duvenaud, Adams, ICML 2015, https://arxiv.org/abs/1502.03492.

Adaptation is gradient descent with momentum and weight decay from a learned initialisation; rates, momenta and decays
are learned with it, one of each for every layer and step (the learned rates of Antoniou et al. 2019, LSLR).
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.gradient import value_and_grad
from innerloop.core.inner import FastWeights, at_step, first_step, per_step
from innerloop.core.searched import INNER_LR
from innerloop.core.types import Batch, Params


class Moving(NamedTuple):
    """Weights on their way."""

    weights: Params
    velocity: Params
    """Velocity of the weights that are adapted."""
    step: Tensor  # [] int64


@dataclass(frozen=True, kw_only=True)
class LearnedRates(FastWeights[Moving]):
    """Parameters: `model.*`, and for every weight that is adapted `inner_lr.*`, `momentum.*` and `decay.*`.

    None of them is clamped: a rate may become negative. The other gradient learners are cases of it: MAML with its
    one rate learned, with `layers` ANIL, with `rates="weight"` Meta-SGD, with `first_order` FOMAML.
    """

    trains_on = ("episodes",)
    by_step = ("inner_lr.", "momentum.", "decay.")

    inner_lr: float = field(default=0.4, metadata=INNER_LR)
    """Where every rate starts, on the mean support loss."""
    momentum: float | None = 0.0
    """Where every momentum starts, `v = gradient + momentum * v`; None: without momentum."""
    decay: float | None = 0.0
    """Where every weight decay starts, `gradient + decay * weight`; None: without decay."""
    rates: Literal["layer", "weight"] = "layer"
    """One for each weight tensor, or one for each of its entries."""
    step_rates: bool = True
    """Every inner step has its own; steps past `inner_steps` of training take the last ones."""
    layers: tuple[str, ...] = ()
    """Adapt only weights whose names start with one of these; (): all."""
    first_order: bool = False
    """Treat the inner gradients as constants."""

    @property
    def exact_gradient(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return not self.first_order

    def init(self, seed: int) -> Params:
        weights = self.model.init(seed)
        adapted = {k: w for k, w in weights.items() if not self.layers or k.startswith(self.layers)}
        if not adapted:
            wanted = " or ".join(map(repr, self.layers))
            raise InputError(f"no weight starts with {wanted}: the network has {', '.join(weights)}")
        steps = max(self.inner_steps, 1) if self.step_rates else 1
        starts = {"inner_lr": self.inner_lr, "momentum": self.momentum, "decay": self.decay}
        learned = {
            name: per_step(adapted, steps, value, each=self.rates == "weight")
            for name, value in starts.items()
            if value is not None
        }
        return tree.join(model=weights, **learned)

    def start(self, params: Params, support: Batch) -> Moving:
        weights = tree.part(params, "model")
        adapted = {k: weights[k] for k in tree.part(params, "inner_lr")}
        return Moving(weights, tree.map(torch.zeros_like, adapted), first_step(weights))

    def advance(self, params: Params, carry: Moving, support: Batch) -> tuple[Moving, Tensor]:
        weights, velocity, step = carry
        lr, momentum, decay = (at_step(tree.part(params, name), step) for name in ("inner_lr", "momentum", "decay"))
        loss, adapted = self.support_loss(support), {k: weights[k] for k in lr}
        slope, value, _ = value_and_grad(lambda w: loss(weights | w), adapted, create_graph=not self.first_order)
        if decay:
            slope = tree.map(lambda g, w, d: g + d * w, slope, adapted, decay)
        velocity = tree.map(lambda g, v, m: g + m * v, slope, velocity, momentum) if momentum else slope
        adapted = tree.map(lambda w, v, a: w - a * v, adapted, velocity, lr)
        return Moving(weights | adapted, velocity, step + 1), value

    def finish(self, params: Params, carry: Moving, support: Batch) -> Params:
        return self.with_statistics(carry.weights, support)
