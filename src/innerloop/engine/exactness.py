"""Whether a plan has the loop's meta-gradient: one check, for plans that are chosen, pinned or audited.

In float64 on two tasks, where plans that do the same differ by 1e-12, and an operation that mixes tasks, or is wrong
under a transform, by 1e-3 and more. In float32 rounding would hide some of these.
"""

from collections import OrderedDict
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.linalg import dot
from innerloop.core.threads import on_one_core
from innerloop.core.types import Batch, Episode, Params
from innerloop.engine import trace
from innerloop.engine.execute import execute
from innerloop.engine.plan import Plan

TOLERANCE = 1e-6
"""Relative to the length of the loop's gradient."""
_OWN_TOLERANCE = 1e-3
"""Likewise for learners that run in their own dtype only, such as those that make float32 tensors inside."""
_TASKS, _KEPT = 2, 256
_VERIFIED: "OrderedDict[Any, None]" = OrderedDict()


class Judge:
    """The loop's meta-gradient of the first two tasks, in float64, for any number of plans to be compared with.

    Args:
        learner: The algorithm.
        params: Meta-parameters.
        episodes: Tasks, stacked along a leading axis.
        few: Whether one example of each class is enough, for tasks that would take long.
    """

    def __init__(self, learner: Learner, params: Params, episodes: Episode, few: bool = False):
        self._learner = learner
        two = tree.slice(episodes, slice(0, _TASKS))
        self._own = params, Episode(*map(_fewer, two)) if few else two
        self._given = double(params), double(self._own[1])
        self._exact = True
        try:
            self._expected = self._run(Plan("loop"))
        except (RuntimeError, TypeError):  # an operation with a dtype of its own, or a device without float64
            self._exact, self._given = False, self._own
            self._expected = self._run(Plan("loop"))

    def gap(self, plan: Plan) -> tuple[float, float]:
        """The distance of a plan's meta-gradient to the loop's, and what it may be.

        What is compiled is judged by the operators that are recorded for it.

        Raises:
            InputError: The plan cannot run this learner.
        """
        how = replace(plan, chunk=min(plan.chunk, tree.length(self._own[1]))) if plan.chunk > 1 else plan
        how = replace(how, precision="float32")  # rounding on purpose is no mistake
        apart = distance(self._run(how), self._expected)
        rounds = self._exact and apart > TOLERANCE and _rounds(self._learner, *self._own)
        return apart, TOLERANCE if self._exact and not rounds else _OWN_TOLERANCE

    def _run(self, plan: Plan) -> Params:
        def gradient() -> Params:
            return execute(self._learner, *self._given, plan, compiled=False)[0]

        # On one core: where others are busy, threads of one operator wait for each other, ten times as long.
        return on_one_core(gradient) if plan.threads == 1 else gradient()


def gap(learner: Learner, params: Params, episodes: Episode, plan: Plan) -> tuple[float, float]:
    """`Judge.gap` of one plan."""
    return Judge(learner, params, episodes).gap(plan)


def verify(learner: Learner, params: Params, episodes: Episode, plan: Plan) -> None:
    """Refuse a plan whose meta-gradient is not the loop's; once for each learner, plan and shape of a task.

    Raises:
        InputError: It is not, or the plan cannot run this learner.
    """
    if (plan.name == "loop" and plan.layout == "contiguous") or not params:
        return
    key = (learner, trace.shapes((params, tree.slice(episodes, 0))), plan)
    if key in _VERIFIED:
        return
    apart, most = gap(learner, params, episodes, plan)
    if not apart <= most:
        raise InputError(
            f"the plan '{plan}' has another meta-gradient than the loop, {apart:.1e} away (at most {most:.0e}): an "
            "operation mixes tasks, or is wrong under vmap. Use the plan loop, threads or auto, or take it as it "
            "is with unchecked=True (--unchecked)"
        )
    _VERIFIED[key] = None
    if len(_VERIFIED) > _KEPT:
        _VERIFIED.popitem(last=False)


def distance(gradient: Params, expected: Params) -> float:
    """Distance of two gradients, relative to the length of `expected`."""
    size, offset = dot(expected, expected).sqrt().item(), tree.map(Tensor.sub, gradient, expected)
    apart = dot(offset, offset).sqrt().item()
    return apart / size if size > 0 else apart


def _fewer(stacked: Batch) -> Batch:
    """The first row of each class; all rows where the tasks have no classes, or not in the same rows."""
    y = stacked.y
    if y.ndim != 2 or y.is_floating_point() or not bool((y == y[:1]).all()):
        return stacked
    labels = y[0].tolist()
    rows = [i for i, label in enumerate(labels) if label >= 0 and label not in labels[:i]]
    if not rows or (stacked.mask is not None and not bool(stacked.mask[:, rows].all())):
        return stacked
    x, y, mask, weight = tree.map(lambda leaf: leaf[:, rows], (stacked.x, y, stacked.mask, stacked.weight))
    return stacked._replace(x=x, y=y, mask=mask, weight=weight)


def double(values: Any) -> Any:
    """Floating-point leaves in float64, without a graph."""
    return tree.map(lambda v: v.detach().double() if v.is_floating_point() else v, values)


def _rounds(learner: Learner, params: Params, episodes: Episode) -> bool:
    """Whether the learner computes in less than float64 although everything it gets is in float64."""
    with torch.enable_grad(), _Dtypes() as dtypes:
        learner.loss(double(params), double(tree.slice(episodes, 0)))
    return dtypes.seen


class _Dtypes(TorchDispatchMode):
    """Notes whether float64 was turned into less; what begins as float32 (an accuracy, a constant) rounds nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        low = (torch.float32, torch.bfloat16, torch.float16)
        before = any(isinstance(v, Tensor) and v.dtype == torch.float64 for v in tree_leaves((args, kwargs)))
        self.seen |= before and any(isinstance(v, Tensor) and v.dtype in low for v in tree_leaves(outputs))
        return outputs
