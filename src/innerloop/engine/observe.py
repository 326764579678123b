"""Observing a stream at the price of its arithmetic: the step of a learner as a graph of operators, called again."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from innerloop.core import tree
from innerloop.core.online import OnlineLearner
from innerloop.core.types import Batch, Params
from innerloop.engine.plan import Plan
from innerloop.engine.trace import Recorded, shapes

Observe = Callable[[Any, Batch], Any]
"""`(state, batch) -> state`."""


def recorded_observe(learner: OnlineLearner[Any], params: Params, compiled: bool = False) -> Observe:
    """`learner.observe` with these parameters, recorded when batches of a shape first arrive.

    It gives the same numbers and makes no graph for autograd. Python's part of the work, most of the time of a small
    network, is left out.

    Args:
        learner: The algorithm.
        params: Its meta-parameters.
        compiled: Whether to compile what is recorded, which takes seconds for every shape and may round otherwise.

    Returns:
        A function for one thread.

    Raises:
        InputError: When first called: what the learner does depends on values, so that it cannot be recorded.
    """
    params = tree.map(Tensor.detach, params)
    plan, kept = Plan("compile" if compiled else "replay"), dict[Any, Recorded]()

    def observe(state: Any, batch: Batch) -> Any:
        key = shapes(batch)  # those of a state stay
        if key not in kept:
            kept[key] = Recorded(learner.observe, (params, state, batch), plan)
        return kept[key](params, state, batch)

    return observe
