"""Reptile: Nichol, Achiam, Schulman 2018, https://arxiv.org/abs/1803.02999.

Adaptation is ordinary training on the support from a learned initialisation, which meta-training moves towards where
adaptation went; there is no query set in training.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.gradient import value_and_grad
from innerloop.core.inner import FastWeights, rescaled
from innerloop.core.linalg import dot
from innerloop.core.ranges import Count, Natural
from innerloop.core.searched import between
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.stopped import stop
from innerloop.core.types import Batch, Episode, Metrics, Params


class Trained(NamedTuple):
    """Weights in training."""

    weights: Params
    second: Params
    """Adam's second moments."""
    step: Tensor  # [] int64


@dataclass(frozen=True, kw_only=True)
class Reptile(FastWeights[Trained]):
    """The gradient of `0.5 |params - adapted|^2`, adapted held constant, is the paper's direction.

    Descend on it by SGD whose rate (the paper's epsilon, from 1) is annealed linearly to 0. Adam's moments start afresh
    with every task; in the paper's code the second ones persist from task to task.
    """

    trains_on = ("episodes",)
    sensible = by_kind(
        classes=Sensible(
            # The paper's 1e-3 is for 100,000 meta-steps: after 150 of them it has hardly moved.
            fields={"inner_lr": 1e-2, "inner_batch": 10, "transductive": True},
            task={"train_shots": 10},
            train={"meta_batch_size": 5, "optimizer": "sgd", "meta_lr": 1.0, "schedule": "linear"},
        ),
        sinusoid=Sensible(
            fields={
                "inner_lr": 0.02,
                "inner_optimizer": "sgd",
                "inner_steps": 32,
                "test_steps": 32,
                "inner_batch": 5,
            },
            train={"meta_batch_size": 1, "optimizer": "sgd", "meta_lr": 0.1, "schedule": "linear", "steps": 30000},
        ),
    )

    exact_gradient = False

    inner_lr: float = field(default=1e-3, metadata=between(1e-4, 1e-1, log=True))
    """Rate of the inner optimizer."""
    inner_steps: int = field(default=5, metadata=between(3, 20))
    inner_optimizer: Literal["adam", "sgd"] = "adam"
    """Adam with beta1 = 0, as in the paper, or plain SGD."""
    inner_batch: Count | None = None
    """Examples of the support for each step, at most all of them; None: all. As in the authors' code these are cut from
    a row of shuffled copies of the support, without replacement: an example comes again when all others have come,
    and a minibatch may begin in one copy and end in the next."""
    test_steps: Natural | None = 50
    """Steps of `adapt`, to a task that is not trained on; 50 in all of the paper's commands. None: `inner_steps`."""

    @property
    def steps_at_test(self) -> int:
        return self.inner_steps if self.test_steps is None else self.test_steps

    @property
    def stochastic(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.inner_batch is not None

    @property
    def ordered(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.inner_batch is not None  # which rows make a minibatch is drawn by their position

    def start(self, params: Params, support: Batch) -> Trained:
        weights = stop(params)
        device = next(iter(weights.values())).device
        return Trained(weights, tree.map(torch.zeros_like, weights), torch.zeros((), dtype=torch.int64, device=device))

    def advance(self, params: Params, carry: Trained, support: Batch) -> tuple[Trained, Tensor]:
        rows = self._minibatch(carry.step, support)
        gradient, value, _ = value_and_grad(self.support_loss(rows), carry.weights, create_graph=False)
        step, second = carry.step + 1, carry.second
        if self.inner_optimizer == "adam":
            gradient, second = rescaled(gradient, second, step)
        weights = tree.map(lambda w, g: w - self.inner_lr * g, carry.weights, gradient)
        return Trained(stop(weights), stop(second), step), value

    def finish(self, params: Params, carry: Trained, support: Batch) -> Params:
        return self.with_statistics(carry.weights, support)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        adapted = self.unroll(params, episode.support).weights
        offset = tree.map(Tensor.sub, params, stop(adapted))
        return 0.5 * dot(offset, offset), {}

    def reference_gradient(self, params: Params, episode: Episode) -> Params:
        """From where adaptation went to where it began."""
        return tree.map(Tensor.sub, params, self.unroll(params, episode.support).weights)

    def _minibatch(self, step: Tensor, support: Batch) -> Batch:
        n = support.y.shape[0]
        if self.inner_batch is None or self.inner_batch >= n:
            return support
        if support.key is None:
            raise ValueError("minibatches of the support need support.key")
        place = torch.arange(self.inner_batch, device=step.device)
        real = torch.full_like(step, n) if support.mask is None else support.mask.sum().clamp_min(1)
        size = real.clamp_max(self.inner_batch)
        place, counts = step * size + place, place < size  # [b] in the row of shuffled copies
        order = random.permutation(random.fold(support.key, place // real), n)  # [b, n], of the copy of each
        if support.mask is not None:  # as if the padding were not there: real rows by their number among the real ones
            order = order.gather(1, (order >= real).int().argsort(dim=1, stable=True))
            order = (~support.mask).int().argsort(stable=True)[order]
        rows = order.gather(1, (place % real)[:, None])[:, 0]
        x, y = tree.map(lambda leaf: leaf[rows], (support.x, support.y))
        mask = None if support.mask is None else counts & support.mask[rows]
        return Batch(x, y, mask, support.classes, support.key)
