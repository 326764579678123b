"""A stack of tasks by a plan: in chunks, over threads, recorded or not."""

import functools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import torch

from innerloop.core import tree
from innerloop.core.learner import Learner
from innerloop.core.types import Episode, Metrics, Params
from innerloop.engine import piece, trace
from innerloop.engine.plan import Plan

Run = Callable[[Episode], piece.Sums]


def execute(learner: Learner, params: Params, episodes: Episode, plan: Plan) -> tuple[Params, Metrics]:
    """Mean over tasks of the gradient of `learner.loss`, and of its metrics; as `engine.meta_gradient`, by one plan."""
    tasks = tree.length(episodes)
    chunk = plan.chunk or tasks
    parts = [tree.slice(episodes, slice(i, i + chunk)) for i in range(0, tasks, chunk)]
    if plan.traced:
        # Traced by this thread: the workers only call what is there.
        runs = {tree.length(part): trace.recorded(learner, params, part, plan) for part in (parts[0], parts[-1])}

        def run(part: Episode) -> piece.Sums:
            return runs[tree.length(part)](params, part)
    else:

        def run(part: Episode) -> piece.Sums:
            return piece.sums(learner, params, part, plan)

    grads, metrics = _spread(run, parts, plan.threads) if plan.threads > 1 else _total(map(run, parts))
    return tree.map(lambda leaf: (leaf / tasks).contiguous(), grads), tree.map(lambda leaf: leaf / tasks, metrics)


def _spread(run: Run, parts: list[Episode], threads: int) -> piece.Sums:
    """Over Python threads, one intra-op thread each; every one adds what it found, in the order of the tasks.

    If the calling thread added, its own intra-op threads would spin beside the workers.
    """
    intra_op, grad = torch.get_num_threads(), torch.is_grad_enabled()
    autocast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def work(mine: list[Episode]) -> piece.Sums:
        # Neither the thread count, nor the grad mode, nor autocast is inherited by a worker.
        torch.set_num_threads(1)
        with torch.set_grad_enabled(grad), torch.autocast("cpu", enabled=autocast[0], dtype=autocast[1]):
            return _total(map(run, mine))

    each = -(-len(parts) // threads)
    shares = [parts[i : i + each] for i in range(0, len(parts), each)]
    try:
        return _total(list(_workers(threads).map(work, shares)))
    finally:
        torch.set_num_threads(intra_op)


@functools.cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """Kept: a new thread would make its own twin of every network again."""
    return ThreadPoolExecutor(threads, thread_name_prefix="tasks")


def _total(parts: Iterable[piece.Sums]) -> piece.Sums:
    return functools.reduce(lambda a, b: tree.map(torch.add, a, b), parts)
