"""Which ways of running a learner are exact for it, and how fast each is here."""

import statistics
import time
from collections.abc import Iterator, Sequence

import torch

from innerloop.audit.check import Check
from innerloop.core import guards, tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.types import Episode, Params
from innerloop.engine.exactness import TOLERANCE, distance, double
from innerloop.engine.execute import execute
from innerloop.engine.plan import NAMES, Plan

PLANS = tuple(name for name in NAMES if not Plan(name).compiled)
"""Those that are checked unless others are asked for: compiling takes up to minutes."""
PLAN_TOLERANCE = TOLERANCE
"""The one that `auto` and pinned plans are held to."""
_REFERENCE = "loop"
_RUNS = 5
_SECONDS = 2.0
"""A plan is timed no longer than this, and once at least."""


def plan_checks(
    learner: Learner, params: Params, exact: Episode, timed: Episode, plans: Sequence[str] = PLANS
) -> Iterator[Check]:
    """One check a plan: the distance of its meta-gradient to the loop's, and its speed beside the loop's.

    The loop itself is compared with another run of it, between which torch's generator moves on: what draws from it
    has no meta-gradient that another plan, or a resumed run, could repeat.

    Args:
        learner: With its real model.
        params: Where the gradient is taken.
        exact: Tasks for the comparison, in float64.
        timed: Tasks to measure the speed on; indicative only, other work on the machine moves it.
        plans: Names from `engine.plan.NAMES`; the loop is always among them.

    Raises:
        InputError: There is no such plan.
    """
    check_names(plans)
    if not params:
        return
    params64, exact = double(params), double(exact)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            expected = execute(learner, params64, exact, Plan(_REFERENCE))[0]
        except (RuntimeError, InputError) as error:
            yield Check(f"plan {_REFERENCE}", False, None, f"cannot run this learner: {reason(error)}")
            return
        baseline = _milliseconds(learner, params, timed, _REFERENCE)
        for name in dict.fromkeys((_REFERENCE, *plans)):
            try:
                apart = distance(execute(learner, params64, exact, Plan(name))[0], expected)
                each = baseline if name == _REFERENCE else _milliseconds(learner, params, timed, name)
            except (RuntimeError, InputError) as error:
                yield Check(f"plan {name}", None, None, f"cannot run this learner: {reason(error)}")
                continue
            yield _judged(name, apart, each, baseline, tree.length(timed))
            if name == _REFERENCE and apart > PLAN_TOLERANCE:
                return  # there is nothing to compare the others with


def check_names(plans: Sequence[str]) -> None:
    """Refuse plans that there are not.

    Raises:
        InputError: There is no such plan.
    """
    unknown = [name for name in plans if name not in NAMES]
    if unknown:
        raise InputError(f"there is no plan '{unknown[0]}': choose from {', '.join(NAMES)}")


def _judged(name: str, apart: float, each: float, baseline: float, tasks: int) -> Check:
    details = {"milliseconds": each, "ratio_to_loop": baseline / each, "tasks": tasks}
    speed = f"{each:.3g} ms for {tasks} tasks"
    if name != _REFERENCE:
        speed += f", {baseline / each:.2g}x the loop (indicative)"
    if apart <= PLAN_TOLERANCE:
        message = f"exact, {apart:.1e} from the loop; {speed}" if name != _REFERENCE else f"repeats itself; {speed}"
        return Check(f"plan {name}", True, apart, message, details)
    if name == _REFERENCE:
        message = (
            f"another run of it is {apart:.1e} away: the learner or its network draws from torch's generator "
            "(dropout, torch.rand), or keeps state. Remove it, or draw by innerloop.core.random from the support's key"
        )
    else:
        message = (
            f"its meta-gradient is {apart:.1e} away from the loop's: an operation mixes tasks, or is wrong under "
            f"vmap. Do not use this plan; {speed}"
        )
    return Check(f"plan {name}", False, apart, message, details)


def _milliseconds(learner: Learner, params: Params, episodes: Episode, plan: str) -> float:
    """Median of a few runs, after a first one that may trace or compile."""
    runs: list[float] = []
    execute(learner, params, episodes, Plan(plan))
    begin = time.perf_counter()
    while len(runs) < _RUNS and (not runs or time.perf_counter() - begin < _SECONDS):
        start = time.perf_counter()
        gradient, _ = execute(learner, params, episodes, Plan(plan))
        next(iter(gradient.values())).sum().item()  # wait for the device
        runs.append(1e3 * (time.perf_counter() - start))
    return statistics.median(runs)


def reason(error: BaseException) -> str:
    """Why something could not be run, in one line."""
    return guards.explain(error) or (str(error).strip().partition("\n")[0] or type(error).__name__)
