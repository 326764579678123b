"""What a plan is made of: the meta-gradient of a few tasks, run in one go."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.recompute import recomputing
from innerloop.core.types import Episode, Metrics, Params
from innerloop.engine import halves
from innerloop.engine.gradients import channels_last, detached, gradients_of, vmapped
from innerloop.engine.plan import Plan

Sums = tuple[Params, Metrics]
"""Sums over tasks of the gradient of `learner.loss`, and of `loss` and the learner's metrics."""


def sums(
    learner: Learner, params: Params, episodes: Episode, plan: Plan, query: halves.QueryPass | None = None
) -> Sums:
    """Over the stacked tasks of `episodes`, all at once under vmap where there are several.

    Args:
        learner: The algorithm.
        params: Meta-parameters.
        episodes: Stacked tasks.
        plan: How.
        query: What runs each query, where the plan has the halves run differently; None: the learner itself.

    Raises:
        InputError: The plan cannot run this learner.
    """
    # The caller's parameters must collect no gradient, and its graph must not reach into this one.
    params = {k: v.detach() for k, v in params.items()}
    if plan.layout == "channels_last":
        params = tree.map(channels_last, params)
    with settings(learner, episodes, plan):
        if plan.layout == "mixed" and halves.splits(learner):
            return halves.sums(learner, params, episodes, query)
        # A vmap over one task would cost its overhead for nothing, and forbid code that looks at values.
        if tree.length(episodes) == 1 and plan.chunk == 1:
            return _task(learner, params, tree.slice(episodes, 0), plan.layout == "channels_last")
        return vmapped(lambda: _together(learner, params, episodes))


@contextlib.contextmanager
def settings(learner: Learner, episodes: Episode, plan: Plan) -> Iterator[None]:
    """The plan's precision, and whether inner steps are recomputed.

    Raises:
        InputError: The learner is not for this precision.
    """
    if plan.precision != "float32" and not learner.low_precision:
        raise InputError(f"{type(learner).__name__} does not declare low_precision: use precision='float32'")
    low = torch.autocast(episodes.support.y.device.type, torch.bfloat16)
    with (
        recomputing(plan.recompute, episodes.query.y.shape[1]),
        low if plan.precision == "bfloat16" else contextlib.nullcontext(),
    ):
        yield


def _task(learner: Learner, params: Params, episode: Episode, turned: bool) -> Sums:
    leaves = {k: v.requires_grad_() for k, v in tree.map(Tensor.detach, params).items()}
    if turned:
        support, query = episode
        x = tree.map(channels_last, (support.x, query.x))
        episode = Episode(support._replace(x=x[0]), query._replace(x=x[1]))
    with torch.enable_grad():
        loss, metrics = learner.loss(leaves, episode)
        gradients = gradients_of([loss], list(leaves.values()), None)
    return dict(zip(leaves, gradients, strict=True)), detached(loss, metrics)


def _together(learner: Learner, params: Params, episodes: Episode) -> Sums:
    def total(params: Params) -> tuple[Tensor, Metrics]:
        # The sum, not the mean: chunks may differ in length, and only their sums can be added.
        losses, metrics = torch.vmap(learner.loss, in_dims=(None, tree.axes(episodes)))(params, episodes)
        return losses.sum(), {"loss": losses.sum()} | tree.map(Tensor.sum, metrics)

    grads, metrics = torch.func.grad(total, has_aux=True)(params)
    return grads, tree.map(Tensor.detach, metrics)
