"""A learner's two halves, run differently: the inner steps of several tasks at once, then each query by itself.

The query is differentiated once, the inner steps twice, and what is best for the one is not best for the other. What a
query gives is the gradient of its loss at what was adapted, which is then pulled back through the inner steps.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.learner import EpisodicClassifier, Learner
from innerloop.core.types import Batch, Episode, Metrics, Params
from innerloop.engine.gradients import channels_last, detached, gradients_of, vmapped

Through = tuple[bool, ...]
"""Which leaves of what was adapted have a gradient to pull back: it may hold labels and counts as well."""
Given = tuple[tuple[Tensor, ...], Params, Metrics]
"""Gradients at those leaves, gradients at the parameters themselves, and metrics."""
QueryPass = Callable[[Params, Any, Batch, Through], Given]


def splits(learner: Learner) -> bool:
    """Whether the learner's loss is `query_loss` after `adapt`, so that the halves may run differently."""
    return isinstance(learner, EpisodicClassifier) and type(learner).loss is EpisodicClassifier.loss


def query_pass(learner: Any, params: Params, adapted: Any, query: Batch, through: Through) -> Given:
    """The second half of one task, for what was adapted as given: pure, so that it may be recorded."""
    leaves = {k: v.detach().requires_grad_() for k, v in params.items()}
    kept = [v.detach().requires_grad_(t) for v, t in zip(tree.flatten(adapted), through, strict=True)]
    with torch.enable_grad():
        loss, metrics = learner.query_loss(leaves, tree.unflatten(adapted, kept), query)
        graphed = [v for v, t in zip(kept, through, strict=True) if t]
        gradients = gradients_of([loss], [*graphed, *leaves.values()], None)
    own = dict(zip(leaves, gradients[len(graphed) :], strict=True))
    return tuple(gradients[: len(graphed)]), own, detached(loss, metrics)


def adapted_together(learner: Any, params: Params, support: Batch) -> tuple[Any, Through]:
    """What all tasks of a stacked support adapt to, stacked, as a graph of `params`."""
    with torch.enable_grad():
        if tree.length(support) == 1:
            adapted = tree.map(lambda v: v[None], learner.adapt(params, tree.slice(support, 0)))
        else:
            adapt = torch.vmap(learner.adapt, in_dims=(None, tree.axes(support)))
            adapted = vmapped(lambda: adapt(params, support))
    return adapted, tuple(v.requires_grad for v in tree.flatten(adapted))


def one_of(adapted: Any, query: Batch, index: int) -> tuple[Any, Batch]:
    """One task's part, cut from the graph, with pictures and weights of convolutions in channels last."""
    task = tree.slice(query, index)
    cut = tree.map(lambda v: channels_last(v[index].detach()) if v.requires_grad else v[index].detach(), adapted)
    return cut, task._replace(x=tree.map(channels_last, task.x))


def sums(learner: Learner, params: Params, episodes: Episode, run: QueryPass | None = None) -> tuple[Params, Metrics]:
    """Over the stacked tasks, of gradients and metrics.

    Args:
        learner: One that `splits`.
        params: Meta-parameters, without a graph.
        episodes: Stacked tasks.
        run: `query_pass` of this learner, however it is called; None: as it is written.
    """
    run = run or (lambda *given: query_pass(learner, *given))
    leaves = {k: v.requires_grad_() for k, v in tree.map(Tensor.detach, params).items()}
    adapted, through = adapted_together(learner, leaves, episodes.support)
    slopes: list[tuple[Tensor, ...]] = []
    total: tuple[Params, Metrics] | None = None
    for i in range(tree.length(episodes.support)):
        # Cut from the graph of the inner steps: each query's own graph is freed before the next one is made.
        at_adapted, own, metrics = run(params, *one_of(adapted, episodes.query, i), through)
        slopes.append(at_adapted)
        total = (own, metrics) if total is None else tree.map(torch.add, total, (own, metrics))
    assert total is not None
    graphed = [v for v, t in zip(tree.flatten(adapted), through, strict=True) if t]
    stacked = [torch.stack(each) for each in zip(*slopes, strict=True)]
    back = gradients_of(graphed, list(leaves.values()), stacked)
    return tree.map(torch.add, total[0], dict(zip(leaves, back, strict=True))), total[1]
