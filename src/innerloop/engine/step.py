"""The hot path: the meta-gradient of a stack of tasks, however it is run."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.learner import Learner, score
from innerloop.core.types import Episode, Metrics, Params
from innerloop.engine.plan import Plan, choose


def meta_gradient(
    learner: Learner, params: Params, episodes: Episode, plan: str | Plan = "auto"
) -> tuple[Params, Metrics]:
    """Mean over tasks of the gradient of `learner.loss`, and of its metrics.

    The plan changes nothing beyond float rounding.

    Args:
        learner: The algorithm.
        params: Meta-parameters.
        episodes: Tasks, stacked along a leading axis.
        plan: `loop` (one task after another; memory flat in the number of tasks), `vmap` (chunks of tasks at once),
            `threads` (tasks over Python threads, one intra-op thread each) or `auto`: the fastest of them here, timed
            once for each learner and shape. A `Plan` pins the chunk as well.

    Returns:
        The meta-gradient, and `loss` beside the learner's own metrics.
    """
    if not isinstance(plan, Plan):
        plan = pick(learner, params, episodes) if plan == "auto" else Plan(plan)
    return _RUN[plan.name](learner, params, episodes, plan)


def pick(learner: Learner, params: Params, episodes: Episode) -> Plan:
    """The plan that `auto` stands for."""
    return choose(learner, params, episodes, _RUN)


def validation_scores(learner: Learner, params: Params, episodes: Episode) -> Tensor:
    """[tasks] score of every task after adaptation (accuracy, or mean squared error), without a graph."""
    with torch.no_grad():
        return torch.stack([_score(learner, params, tree.slice(episodes, i)) for i in range(tree.length(episodes))])


def _score(learner: Learner, params: Params, episode: Episode) -> Tensor:
    return score(learner.predict(params, learner.adapt(params, episode.support), episode.query.x), episode.query)


def _loop(learner: Learner, params: Params, episodes: Episode, plan: Plan) -> tuple[Params, Metrics]:
    return _mean(_task(learner, params, episodes, i) for i in range(tree.length(episodes)))


def _threads(learner: Learner, params: Params, episodes: Episode, plan: Plan) -> tuple[Params, Metrics]:
    intra_op = torch.get_num_threads()
    autocast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def work(i: int) -> tuple[Params, Metrics]:
        # Neither the thread count nor autocast is inherited by a worker.
        torch.set_num_threads(1)
        with torch.autocast("cpu", enabled=autocast[0], dtype=autocast[1]):
            return _task(learner, params, episodes, i)

    try:
        with ThreadPoolExecutor(plan.threads) as pool:
            return _mean(pool.map(work, range(tree.length(episodes))))  # added in task order
    finally:
        torch.set_num_threads(intra_op)


def _vmap(learner: Learner, params: Params, episodes: Episode, plan: Plan) -> tuple[Params, Metrics]:
    tasks = tree.length(episodes)
    chunks = (tree.slice(episodes, slice(i, i + plan.chunk)) for i in range(0, tasks, plan.chunk))
    return _mean((_chunk(learner, params, chunk) for chunk in chunks), tasks)


def _task(learner: Learner, params: Params, episodes: Episode, index: int) -> tuple[Params, Metrics]:
    leaves = {k: v.detach().requires_grad_() for k, v in params.items()}
    with torch.enable_grad():
        loss, metrics = learner.loss(leaves, tree.slice(episodes, index))
        if leaves and loss.requires_grad:
            found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
        else:
            found = [torch.zeros_like(v) for v in leaves.values()]
    return dict(zip(leaves, found, strict=True)), {"loss": loss.detach()} | tree.map(Tensor.detach, metrics)


def _chunk(learner: Learner, params: Params, episodes: Episode) -> tuple[Params, Metrics]:
    """Sums over the tasks of a chunk."""

    def total(params: Params) -> tuple[Tensor, Metrics]:
        losses, metrics = torch.vmap(learner.loss, in_dims=(None, tree.axes(episodes)))(params, episodes)
        return losses.sum(), {"loss": losses.sum()} | tree.map(Tensor.sum, metrics)

    grads, metrics = torch.func.grad(total, has_aux=True)({k: v.detach() for k, v in params.items()})
    return grads, tree.map(Tensor.detach, metrics)


def _mean(parts: Iterable[tuple[Params, Metrics]], tasks: int | None = None) -> tuple[Params, Metrics]:
    """Mean of per-task results, or of sums over chunks when `tasks` is given; added in order."""
    total, count = None, 0
    for part in parts:
        total = part if total is None else tree.map(torch.add, total, part)
        count += 1
    return tree.map(lambda leaf: leaf / (tasks or count), total)


_RUN = {"loop": _loop, "vmap": _vmap, "threads": _threads}
