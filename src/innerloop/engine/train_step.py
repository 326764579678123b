"""A whole meta-step as one recorded graph: tasks, mean, clipping and the meta-optimizer.

For small networks the optimizer costs as much as the gradient. `torch.optim.Adam` reads its step count in Python, so
its update (Kingma and Ba 2015) is written out here.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._utils import _unflatten_dense_tensors

from innerloop.core import tree
from innerloop.core.learner import Learner
from innerloop.core.types import Episode, Metrics, Params
from innerloop.engine import task_gradient
from innerloop.engine.plan import Plan
from innerloop.engine.trace import Recorded

BETAS, EPS = (0.9, 0.999), 1e-8
"""Constants of Adam, as `torch.optim` has them."""

_KEPT = 16
"""Recordings, by the shapes of the tasks."""


class Moments(NamedTuple):
    """What Adam remembers; vectors over all parameters, in their order."""

    first: Tensor  # [parameters]
    second: Tensor  # [parameters]
    step: Tensor  # [] float32, as torch.optim counts


class WholeStep:
    """A meta-step from parameters and moments to the next ones, which changes neither.

    Args:
        learner: The algorithm.
        params: Whose shapes the step is recorded for.
        plan: A traced one, whose chunk holds all tasks.
        clip: Largest norm of the meta-gradient; None: not clipped.
    """

    def __init__(self, learner: Learner, params: Params, plan: Plan, clip: float | None = None):
        self.learner, self.plan, self.clip = learner, plan, clip
        self._like = params
        # The vector that the last parameters are views of: they usually come back as they are.
        self._params, self._flat = params, flat(params)
        self._rate, self._lr = math.nan, torch.tensor(math.nan)  # one tensor as long as the rate stays
        self._recorded: dict[Any, Recorded] = {}

    @staticmethod
    def possible(plan: Plan, tasks: int) -> bool:
        """Whether a plan runs all tasks in one recorded piece."""
        return plan.traced and plan.threads == 1 and (plan.chunk == 0 or plan.chunk >= tasks)

    def __call__(
        self, params: Params, moments: Moments | None, episodes: Episode, rate: float
    ) -> tuple[Params, Moments | None, Metrics, bool]:
        """One meta-step at a meta-rate, by Adam, or by SGD where there are no moments.

        Returns:
            Parameters, moments, metrics, and whether the loss and its gradient are finite: nothing else holds where
            they are not.
        """
        vector = self._flat if params is self._params else flat(params)
        if rate != self._rate:
            self._rate, self._lr = rate, torch.tensor(rate, dtype=vector.dtype, device=vector.device)
        inputs = (vector, moments, self._lr, episodes)
        # By shape: a recording calls the operators of its own shapes, and on others fails, or computes something else.
        shapes = tuple((leaf.shape, leaf.dtype) for leaf in tree.flatten(episodes))
        if shapes not in self._recorded:
            if len(self._recorded) == _KEPT:
                del self._recorded[next(iter(self._recorded))]
            self._recorded[shapes] = Recorded(self._step, inputs, self.plan)
        vector, moments, metrics, finite = self._recorded[shapes](*inputs)
        self._params, self._flat = pieces(vector, self._like), vector
        return self._params, moments, metrics, bool(finite)

    def _step(
        self, vector: Tensor, moments: Moments | None, lr: Tensor, episodes: Episode
    ) -> tuple[Tensor, Moments | None, Metrics, Tensor]:
        sizes = [leaf.numel() for leaf in self._like.values()]
        parts = zip(self._like.items(), vector.split(sizes), strict=True)
        params = {k: part.view(leaf.shape) for (k, leaf), part in parts}
        tasks = tree.length(episodes)
        grads, metrics = task_gradient.sums(self.learner, params, episodes, self.plan)
        metrics = tree.map(lambda total: total / tasks, metrics)
        gradient = flat({k: grads[k] for k in self._like}) / tasks
        finite = torch.isfinite(gradient).all() & torch.isfinite(metrics["loss"])
        if self.clip is not None:  # as torch.nn.utils.clip_grad_norm_
            gradient = gradient * (self.clip / (torch.linalg.vector_norm(gradient) + 1e-6)).clamp(max=1.0)
        if moments is None:
            return vector - lr * gradient, None, metrics, finite
        step = moments.step + 1
        first = torch.lerp(moments.first, gradient, 1 - BETAS[0])
        second = BETAS[1] * moments.second + (1 - BETAS[1]) * gradient * gradient
        corrections = [(1 - torch.pow(beta, step.double())).to(lr.dtype) for beta in BETAS]
        denominator = second.sqrt() / corrections[1].sqrt() + EPS
        return vector - lr / corrections[0] * first / denominator, Moments(first, second, step), metrics, finite


def flat(params: Params) -> Tensor:
    """[parameters] all entries in one vector."""
    return torch.cat([v.detach().reshape(-1) for v in params.values()])


def pieces(vector: Tensor, like: Params) -> Params:
    """The inverse of `flat`: views of the vector, named and shaped as `like`."""
    return dict(zip(like, _unflatten_dense_tensors(vector, list(like.values())), strict=True))
