"""Plans, run on the same few tasks: how long each takes, and why some are not to be taken."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.threads import on_one_core
from innerloop.core.types import Episode, Params
from innerloop.engine import exactness
from innerloop.engine.execute import execute
from innerloop.engine.plan import Plan
from innerloop.engine.race import race

_TOLERANCE = {torch.float32: 2e-2, torch.float64: 1e-6}
"""Relative distance to the loop's gradient on the tasks that are timed, for what goes wrong there alone (a compiler).
In float32 one ReLU that falls to the other side of 0 costs 1e-3; whether the plan itself is right, `exactness` says."""
_HARDLY, _HARDLY_COMPILED = 1.25, 1.1
"""Times that a plan may take longer on one core: it takes half of the processor's time, and waits for no program, which
is up to a hundred times as long. What is compiled is for long runs, on machines of their own."""
_SLOW = 0.5
"""Seconds of one task above which its first example of each class is enough to judge a plan by."""
_WARM = 0.1
"""Seconds of all tasks by the loop below which a first call is mostly preparation, and not timed."""


class Stopped(Exception):
    """Whoever waits for a choice asked to stop; nothing was chosen."""


class Trial:
    """Times of plans on the same tasks, and why some have none.

    Args:
        learner: The algorithm.
        params: Meta-parameters.
        probe: The tasks.
        loop: The plan that the others are compared with.
        one: Seconds of one task by the loop.
        stopped: Asked before every call.
    """

    def __init__(
        self,
        learner: Learner,
        params: Params,
        probe: Episode,
        loop: Plan,
        one: float,
        stopped: Callable[[], bool],
    ):
        self.learner, self.params, self.probe, self.loop, self.stopped = learner, params, probe, loop, stopped
        self._large, self._small = one > _SLOW, one * tree.length(probe) < _WARM
        self.seconds: dict[Plan, float] = {}
        self.dropped: dict[Plan, str] = {}
        self._judged: set[Plan] = set()
        self._gradients: dict[Plan, Params] = {}
        self._judge: exactness.Judge | None = None

    def race(self, plans: Iterable[Plan], most: float) -> None:
        """Time plans in turns, for so many seconds; of those that were timed before, the best may be among them."""
        best = {plan: min(times) for plan, times in race(plans, self._once, most).items()}
        again = [seconds / self.seconds[plan] for plan, seconds in best.items() if plan in self.seconds]
        # The machine may be busier now than it was then, or less: what is not timed again keeps its place.
        busier = again[0] if again else 1.0
        self.seconds = {plan: busier * seconds for plan, seconds in self.seconds.items()} | best

    def best(self) -> Plan:
        """The fastest plan that has the loop's gradient. Only what would be taken is judged.

        Raises:
            InputError: None is left.
        """
        while self.seconds:
            plan = min(self.seconds, key=self._weighed)
            if plan in self._judged or plan == self.loop or self._right(plan):
                self._judged.add(plan)
                return plan
            del self.seconds[plan]
        raise InputError(f"no plan runs {type(self.learner).__name__}: {'; '.join(self.dropped.values())}")

    def message(self, chosen: Plan, count: int) -> str:
        """Why a plan was chosen that is the best one, whatever it takes at once."""
        best, loop = self.best(), self.loop
        faster = f", {self.seconds[loop] / self.seconds[best]:.1f}x the loop" if loop in self.seconds else ""
        plans = len(self.seconds)
        tried = f"{plans} plan{'s' * (plans > 1)} timed on {count} task{'s' * (count > 1)}"
        dropped = "".join(f"; not {plan}: {why}" for plan, why in self.dropped.items())
        return f"plan: {chosen}{faster} ({tried}{dropped})"

    def _weighed(self, plan: Plan) -> float:
        """Seconds of a plan, fewer of one that has one core."""
        return self.seconds[plan] / ((_HARDLY_COMPILED if plan.compiled else _HARDLY) if plan.one_core else 1.0)

    def _once(self, plan: Plan) -> float | None:
        if self.stopped():
            raise Stopped
        try:
            if plan not in self._gradients and (plan.traced or plan.compiled or self._small):
                self._run(plan)  # recorded, compiled and imported before the clock starts
            seconds, self._gradients[plan] = self._run(plan)
        except Exception as error:
            # What may go wrong (no compiler, no memory, an operator that cannot be traced) is a reason not to choose
            # this plan. An error of the learner itself was raised before, where the loop ran one task.
            self.dropped[plan] = _line(error)
            return None
        return seconds

    def _run(self, plan: Plan) -> tuple[float, Params]:
        with timed(self.probe) as clock:
            gradient = execute(self.learner, self.params, self.probe, plan)[0]
        return clock[0], gradient

    def _right(self, plan: Plan) -> bool:
        """Whether the plan passes the check that pinned and audited plans pass; `dropped` says why not."""
        try:
            # Where a task takes long, only what the check in float64 does not see: what is compiled.
            apart = self._apart(plan) if plan.compiled or not self._large else 0.0
            if apart > _TOLERANCE.get(next(iter(self.params.values()), torch.empty(0)).dtype, 2e-2):
                self.dropped[plan] = f"its gradient is {apart:.1e} from the loop's"
                return False
            self._judge = self._judge or exactness.Judge(self.learner, self.params, self.probe, self._large)
            # In one thread, which needs less memory: whether threads disturb each other was seen above.
            apart, most = self._judge.gap(replace(plan, threads=1))
        except Exception as error:
            self.dropped[plan] = _line(error)
            return False
        if not apart <= most:
            self.dropped[plan] = f"its gradient is {apart:.1e} from the loop's in float64"
        return apart <= most

    def _apart(self, plan: Plan) -> float:
        """The distance of what a plan gave to what the loop gives, relative to that."""
        if self.loop not in self._gradients:
            self._gradients[self.loop] = on_one_core(lambda: self._run(self.loop)[1])
        return exactness.distance(self._gradients[plan], self._gradients[self.loop])


@contextmanager
def timed(episodes: Episode) -> Iterator[list[float]]:
    """Note the seconds of what is done inside, on the device of these tasks."""
    clock: list[float] = []
    _synchronize(episodes)
    start = time.perf_counter()
    yield clock
    _synchronize(episodes)
    clock.append(time.perf_counter() - start)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _synchronize(episodes: Episode) -> None:
    if episodes.support.y.device.type == "cuda":
        torch.cuda.synchronize()
