"""MAML++: Antoniou, Edwards, Storkey, ICLR 2019, https://arxiv.org/abs/1810.09502.

Adaptation is MAML's, with a learned rate for every layer and step and a batch norm for every step; meta-training first
counts the query loss after every step, then after the last one alone.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.inner import FastWeights, at_step, descend, first_step, per_step
from innerloop.core.ranges import Share
from innerloop.core.searched import INNER_LR, INNER_STEPS
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.types import Batch, Episode, Metrics, Params

_STAGES = 10
"""Epochs of the paper's annealing on Omniglot."""
_LEAST = 0.03
"""Share of the weight `1 / inner_steps` of a loss before the last, while several losses count."""


class Stepped(NamedTuple):
    """Fast weights with the batch norms' of the last step."""

    weights: Params
    step: Tensor  # [] int64


@dataclass(frozen=True, kw_only=True)
class MAMLPlusPlus(FastWeights[Stepped]):
    """Parameters: `model.*`, adapted at the rates `inner_lr.*` [steps], and `norm.*` [steps, features], which are not.

    The paper's cosine schedule of the meta-rate is `TrainConfig(schedule="cosine")`. Its running statistics, which its
    code never normalises with, are left out: batch norms see the support's. One checkpoint is tested; the paper's
    tables are of ensembles of the five best by validation.
    """

    trains_on = ("episodes",)
    by_step = ("norm.", "inner_lr.")
    sensible = by_kind(
        classes=Sensible(
            fields={"inner_lr": 0.1, "transductive": True},
            train={"meta_batch_size": 8, "meta_lr": 5e-3, "schedule": "cosine"},
        ),
    )

    inner_lr: float = field(default=0.1, metadata=INNER_LR)
    """Where every rate starts, on the mean support loss."""
    inner_steps: int = field(default=5, metadata=INNER_STEPS)
    """Steps past those of training take the last rates and norms."""
    multi_step_share: Share = 0.1
    """First share of meta-training in which the losses after all steps count, ever less than the last; 0: never."""
    first_order_share: Share = 0.0
    """First share of meta-training that is first-order: the paper says a half, its released settings none."""
    step_norms: bool = True
    """Scales and shifts of batch norms are learned for every step and not adapted; otherwise adapted as any weight."""
    loss_weights: tuple[float, ...] = ()
    """Weights of the query losses after each step, throughout; (): annealed, as the shares say."""
    first_order: bool = False
    """Treat the inner gradients as constants, throughout."""

    @property
    def exact_gradient(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return not self.first_order

    def annealed(self, progress: float) -> Self:
        weights, n = self.loss_weights, self.inner_steps
        if not weights and n and progress < self.multi_step_share:
            stage = int(_STAGES * progress / self.multi_step_share)
            other = max(1 - stage / _STAGES, _LEAST) / n
            weights = (other,) * (n - 1) + (1 - (n - 1) * other,)
        return replace(self, loss_weights=weights, first_order=self.first_order or progress < self.first_order_share)

    def init(self, seed: int) -> Params:
        weights, steps = self.model.init(seed), max(self.inner_steps, 1)
        norms = self.model.norm_weights() if self.step_norms else ()
        adapted = {k: w for k, w in weights.items() if k not in norms}
        rows = {k: torch.stack([weights[k]] * steps) for k in weights if k in norms}
        return tree.join(model=adapted, norm=rows, inner_lr=per_step(adapted, steps, self.inner_lr))

    def start(self, params: Params, support: Batch) -> Stepped:
        weights = tree.part(params, "model")
        step = first_step(weights)
        return Stepped(weights | at_step(tree.part(params, "norm"), step), step)

    def advance(self, params: Params, carry: Stepped, support: Batch) -> tuple[Stepped, Tensor]:
        norm, rates = (at_step(tree.part(params, name), carry.step) for name in ("norm", "inner_lr"))
        weights, value = descend(carry.weights | norm, self.support_loss(support), rates, self.first_order)
        return Stepped(weights, carry.step + 1), value

    def finish(self, params: Params, carry: Stepped, support: Batch) -> Params:
        return self.with_statistics(carry.weights, support)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        support, query = episode
        if not self.loss_weights:
            return super().loss(params, episode)
        if len(self.loss_weights) != self.inner_steps:
            raise InputError(f"{self.inner_steps} inner steps need as many loss_weights, got {len(self.loss_weights)}")
        _, *states = self.trajectory(params, support)
        losses = [self.query_loss(params, self.finish(params, state, support), query) for state in states]
        total = sum(w * value for w, (value, _) in zip(self.loss_weights, losses, strict=True))
        return torch.as_tensor(total), losses[-1][1]
