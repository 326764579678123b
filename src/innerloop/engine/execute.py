"""A stack of tasks by a plan: in chunks, over threads, recorded or not."""

import functools
from collections.abc import Callable, Iterable

import torch

from innerloop.core import tree
from innerloop.core.learner import Learner
from innerloop.core.threads import spread
from innerloop.core.types import Episode, Metrics, Params
from innerloop.core.unlabelled import visible
from innerloop.engine import task_gradient, trace
from innerloop.engine.plan import Plan

Run = Callable[[Episode], task_gradient.Sums]


def execute(
    learner: Learner, params: Params, episodes: Episode, plan: Plan, compiled: bool = True
) -> tuple[Params, Metrics]:
    """Mean over tasks of the gradient of `learner.loss`, and of its metrics; as `engine.meta_gradient`, by one plan.

    Args:
        learner: The algorithm.
        params: Meta-parameters.
        episodes: Tasks, stacked along a leading axis.
        plan: How they are run.
        compiled: Whether to compile what the plan compiles; otherwise the operators are called as they were recorded.
    """
    episodes, tasks = visible(learner, episodes), tree.length(episodes)
    chunk = plan.chunk or tasks
    parts = [tree.slice(episodes, slice(i, i + chunk)) for i in range(0, tasks, chunk)]
    if plan.traced:
        # Traced by this thread: the workers only call what is there.
        ends = (parts[0], parts[-1])
        runs = {tree.length(part): trace.recorded(learner, params, part, plan, compiled) for part in ends}

        def run(part: Episode) -> task_gradient.Sums:
            return runs[tree.length(part)](params, part)
    else:
        query = None
        if plan.name == "compile-query":
            query, _ = trace.recorded_query(learner, params, episodes, plan, compiled)

        def run(part: Episode) -> task_gradient.Sums:
            return task_gradient.sums(learner, params, part, plan, query)

    if plan.threads > 1:
        # Each thread adds what it found: if this one did, its own intra-op threads would spin beside the others.
        each = -(-len(parts) // plan.threads)
        shares = [parts[i : i + each] for i in range(0, len(parts), each)]
        grads, metrics = _total(spread(lambda mine: _total(map(run, mine)), shares, plan.threads))
    else:
        grads, metrics = _total(map(run, parts))
    return tree.map(lambda leaf: (leaf / tasks).contiguous(), grads), tree.map(lambda leaf: leaf / tasks, metrics)


def _total(parts: Iterable[task_gradient.Sums]) -> task_gradient.Sums:
    return functools.reduce(lambda a, b: tree.map(torch.add, a, b), parts)
