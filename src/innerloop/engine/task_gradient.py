"""What a plan is made of: the meta-gradient of a few tasks, run in one go."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.guards import explain
from innerloop.core.learner import EpisodicClassifier, Learner
from innerloop.core.recompute import recomputing
from innerloop.core.types import Episode, Metrics, Params
from innerloop.engine.plan import Plan

Sums = tuple[Params, Metrics]
"""Sums over tasks of the gradient of `learner.loss`, and of `loss` and the learner's metrics."""


def sums(learner: Learner, params: Params, episodes: Episode, plan: Plan) -> Sums:
    """Over the stacked tasks of `episodes`, all at once under vmap where there are several.

    Raises:
        InputError: The plan cannot run this learner.
    """
    if plan.precision != "float32" and not learner.low_precision:
        raise InputError(f"{type(learner).__name__} does not declare low_precision: use precision='float32'")
    # The caller's parameters must collect no gradient, and its graph must not reach into this one.
    params = {k: v.detach() for k, v in params.items()}
    if plan.layout == "channels_last":
        params = tree.map(_channels_last, params)
    low = torch.autocast(episodes.support.y.device.type, torch.bfloat16)
    with (
        recomputing(plan.recompute, episodes.query.y.shape[1]),
        low if plan.precision == "bfloat16" else contextlib.nullcontext(),
    ):
        if plan.layout == "mixed" and splits(learner):
            return _halves(learner, params, episodes)
        # A vmap over one task would cost its overhead for nothing, and forbid code that looks at values.
        if tree.length(episodes) == 1 and plan.chunk == 1:
            return _task(learner, params, tree.slice(episodes, 0), plan.layout == "channels_last")
        return vmapped(lambda: _together(learner, params, episodes))


def splits(learner: Learner) -> bool:
    """Whether the learner's loss is `query_loss` after `adapt`, so that the halves may run differently."""
    return isinstance(learner, EpisodicClassifier) and type(learner).loss is EpisodicClassifier.loss


def vmapped(run: Callable[[], Any]) -> Any:
    """`run()`, whose errors say what to do where vmap cannot trace the learner."""
    try:
        return run()
    except RuntimeError as error:
        message = explain(error)
        if message is None:
            raise
        raise InputError(message) from error


def _task(learner: Learner, params: Params, episode: Episode, channels_last: bool) -> Sums:
    leaves = {k: v.requires_grad_() for k, v in tree.map(Tensor.detach, params).items()}
    if channels_last:
        support, query = episode
        x = tree.map(_channels_last, (support.x, query.x))
        episode = Episode(support._replace(x=x[0]), query._replace(x=x[1]))
    with torch.enable_grad():
        loss, metrics = learner.loss(leaves, episode)
        gradients = _gradient([loss], list(leaves.values()), None)
    return dict(zip(leaves, gradients, strict=True)), _metrics(loss, metrics)


def _together(learner: Learner, params: Params, episodes: Episode) -> Sums:
    def total(params: Params) -> tuple[Tensor, Metrics]:
        # The sum, not the mean: chunks may differ in length, and only their sums can be added.
        losses, metrics = torch.vmap(learner.loss, in_dims=(None, tree.axes(episodes)))(params, episodes)
        return losses.sum(), {"loss": losses.sum()} | tree.map(Tensor.sum, metrics)

    grads, metrics = torch.func.grad(total, has_aux=True)(params)
    return grads, tree.map(Tensor.detach, metrics)


def _halves(learner: Any, params: Params, episodes: Episode) -> Sums:
    """`adapt` of all tasks at once, then each query apart and in channels last, then one pull back through `adapt`."""
    support, query = episodes
    leaves = {k: v.requires_grad_() for k, v in tree.map(Tensor.detach, params).items()}
    with torch.enable_grad():
        if tree.length(support) == 1:
            adapted = tree.map(lambda v: v[None], learner.adapt(leaves, tree.slice(support, 0)))
        else:
            adapt = torch.vmap(learner.adapt, in_dims=(None, tree.axes(support)))
            adapted = vmapped(lambda: adapt(leaves, support))
        # Adapted state may hold labels and counts, which have no gradient to pull back.
        graphed = [v for v in tree.flatten(adapted) if v.requires_grad]
        slopes: list[list[Tensor]] = [[] for _ in graphed]
        total: Sums | None = None
        for i in range(tree.length(support)):
            cut = tree.map(lambda v, i=i: _cut(v, i), adapted)
            task = tree.slice(query, i)
            loss, metrics = learner.query_loss(leaves, cut, task._replace(x=tree.map(_channels_last, task.x)))
            # Cut from the graph of the inner steps: each query's own graph is freed before the next one is made.
            through = [v for v in tree.flatten(cut) if v.requires_grad]
            gradients = _gradient([loss], [*through, *leaves.values()], None)
            for kept, slope in zip(slopes, gradients, strict=False):
                kept.append(slope)
            part = dict(zip(leaves, gradients[len(through) :], strict=True)), _metrics(loss, metrics)
            total = part if total is None else tree.map(torch.add, total, part)
        back = _gradient(graphed, list(leaves.values()), [torch.stack(kept) for kept in slopes])
    assert total is not None
    return tree.map(torch.add, total[0], dict(zip(leaves, back, strict=True))), total[1]


def _gradient(outputs: list[Tensor], inputs: list[Tensor], slopes: list[Tensor] | None) -> list[Tensor]:
    if not inputs or not any(out.requires_grad for out in outputs):
        return [torch.zeros_like(v) for v in inputs]
    return list(torch.autograd.grad(outputs, inputs, slopes, allow_unused=True, materialize_grads=True))


def _metrics(loss: Tensor, metrics: Metrics) -> Metrics:
    return {"loss": loss.detach()} | tree.map(Tensor.detach, metrics)


def _cut(leaf: Tensor, index: int) -> Tensor:
    part = leaf[index].detach()
    return _channels_last(part).requires_grad_() if leaf.requires_grad else part


def _channels_last(leaf: Tensor) -> Tensor:
    """A 4-dimensional tensor with its second dimension innermost in memory; others as they are.

    `contiguous(memory_format=...)` does nothing for one channel, and the convolution after it goes back.
    """
    if leaf.ndim != 4 or not leaf.is_floating_point():
        return leaf
    _, c, h, w = leaf.shape
    return torch.empty_strided(leaf.shape, (c * h * w, 1, w * c, c), dtype=leaf.dtype, device=leaf.device).copy_(leaf)
