"""The hot path: the meta-gradient of a stack of tasks, however it is run."""

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.scores import Score, measured, measured_members
from innerloop.core.types import Episode, Metrics, Params
from innerloop.engine.choose import choose
from innerloop.engine.exactness import verify
from innerloop.engine.execute import execute
from innerloop.engine.plan import Plan


def meta_gradient(
    learner: Learner,
    params: Params,
    episodes: Episode,
    plan: str | Plan = "auto",
    unchecked: bool = False,
    retime: bool = False,
) -> tuple[Params, Metrics]:
    """Mean over tasks of the gradient of `learner.loss`, and of its metrics.

    The plan changes nothing beyond float rounding.

    Args:
        learner: The algorithm.
        params: Meta-parameters.
        episodes: Tasks, stacked along a leading axis.
        plan: `loop`, `threads`, `vmap`, `replay`, `compile`, `compile-query` (see `engine.plan.Plan`), or `auto`: the
            fastest of them here that needs no compiler, timed once for each learner and shape and remembered in the
            cache folder. A `Plan` pins chunk, threads and memory layout as well.
        unchecked: Take a pinned plan without comparing it with the loop, once for each learner and shape.
        retime: Have `auto` time the plans again, in this call.

    Returns:
        The meta-gradient, and `loss` beside the learner's own metrics.

    Raises:
        InputError: There is no such plan, or it cannot run this learner, or has another gradient than the loop.
    """
    if torch.is_inference_mode_enabled():
        raise InputError("gradients are needed, and torch.inference_mode() has none: call meta_gradient outside of it")
    if plan == "auto":
        plan = choose(learner, params, episodes, retime=retime).plan
    else:
        plan = plan if isinstance(plan, Plan) else Plan(plan)
        if not unchecked:
            verify(learner, params, episodes, plan)
    return execute(learner, params, episodes, plan)


def validation_scores(learner: Learner, params: Params, episodes: Episode, score: Score) -> Tensor:
    """[tasks, k] numbers of every task after adaptation, without a graph."""

    def one(episode: Episode) -> Tensor:
        adapted, query = learner.adapt(params, episode.support), episode.query
        if score.of_members:
            return measured_members(score, learner.predictive(params, adapted, query.x), query)
        return measured(score, learner.predict(params, adapted, query.x), query)

    # Not inference_mode: what it makes cannot enter a graph later, and a learner may keep tensors of this call.
    with torch.no_grad():
        return torch.stack([one(tree.slice(episodes, i)) for i in range(tree.length(episodes))])
