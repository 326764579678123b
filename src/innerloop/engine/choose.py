"""Which way of running a learner is fastest here: timed on the first real tasks, not guessed."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.threads import cores
from innerloop.core.types import Episode, Params
from innerloop.engine import exactness, trace
from innerloop.engine.execute import execute
from innerloop.engine.plan import Plan, free_memory
from innerloop.engine.halves import splits

_PROBE_TASKS, _PROBE_BYTES = 16, 64 << 20
"""Plans are timed on so many tasks, or as many as keep so many bytes for the backward pass: all of small ones."""
_CHUNK = 8
_COLD = 2.0
"""Seconds of a first call that may be imports: longer ones are not timed again."""
_TOLERANCE = {torch.float32: 2e-2, torch.float64: 1e-6}
"""Relative distance to the loop's gradient on the tasks that are timed, for what goes wrong there alone (a compiler).
In float32 one ReLU that falls to the other side of 0 costs 1e-3; whether the plan itself is right, `exactness` says."""
_SMALL = 0.2
"""Seconds of a vmapped probe below which Python's part of the work is worth recording away."""
_COMPILING = 0.05
"""Seconds to compile one operator, roughly: once for the trial, once with the meta-optimizer."""
_GAIN = 0.3
"""Part of the time that compiling can be expected to save."""
_BRIEF = 0.3
"""Seconds that a whole training takes by the loop below which no other plan is timed: that takes longer."""
_WARM = 0.1
"""Seconds of a first call, most of which may be what only first calls do."""
_CHOSEN: "dict[Any, Choice]" = {}


class Stopped(Exception):
    """Whoever waits for a choice asked to stop; nothing was chosen."""


class Choice(NamedTuple):
    """A plan, and a line that says why."""

    plan: Plan
    message: str
    only_now: bool = False
    """Whether it holds for so few steps alone."""


def choose(
    learner: Learner,
    params: Params,
    episodes: Episode,
    steps: int = 0,
    stopped: Callable[[], bool] = lambda: False,
    **pins: Any,
) -> Choice:
    """The fastest plan on the first tasks of `episodes`, remembered for the shapes.

    Not chosen is what cannot run the learner, whose gradient is not the loop's, or that needs more memory than half of
    what is free.

    Args:
        learner: The algorithm.
        params: Meta-parameters.
        episodes: Tasks, stacked along a leading axis.
        steps: How many more of these meta-steps there will be; compiling must be worth it, and where all of them take
            less time than the choice would, it is the loop. 0: nobody knows; never compile.
        stopped: Asked before every candidate.
        pins: Fields of `Plan` that every candidate has.

    Raises:
        Stopped: `stopped` said so.
    """
    key = (learner, trace.shapes((params, episodes)), torch.get_num_threads(), steps > 0, tuple(pins.items()))
    if key not in _CHOSEN:
        choice = _choose(learner, params, episodes, steps, stopped, pins)
        if choice.only_now:
            return choice
        _CHOSEN[key] = choice
    return _CHOSEN[key]


def _choose(
    learner: Learner,
    params: Params,
    episodes: Episode,
    steps: int,
    stopped: Callable[[], bool],
    pins: dict[str, Any],
) -> Choice:
    each = max(1, _saved_bytes(learner, params, episodes))
    probe = tree.slice(episodes, slice(0, max(_PROBE_TASKS, _PROBE_BYTES // each)))
    count, tasks = tree.length(probe), tree.length(episodes)
    room = free_memory(episodes.support.y.device) // 2 // each
    if room < 1:
        plan = Plan("loop", recompute=True)
        return Choice(plan, f"plan: {plan}: the graph of one task would fill half of the free memory")
    loop = Plan("loop", precision=pins.get("precision", "float32"))
    trial = _Trial(learner, params, probe, loop, stopped)
    simple = _pin(loop, pins)
    if steps and simple is not None and (each_step := trial.brief(simple) * tasks / count) * steps < _BRIEF:
        why = f"no other was timed, for {steps} step{'s' * (steps != 1)} of {1000 * each_step:.2g} ms"
        return Choice(_scaled(simple, count, tasks, room), f"plan: {simple} ({why})", only_now=True)
    for plan in _pinned(_eager(learner, probe, min(count, room), max(1, min(cores(), room))), pins):
        trial.time(plan)
    if not trial.seconds:
        raise InputError(f"no plan runs {type(learner).__name__} with {pins}: {'; '.join(trial.dropped.values())}")
    vmap = trial.seconds.get(_pin(Plan("vmap", chunk=min(count, room)), pins) or loop)
    if vmap is not None and vmap < _SMALL:
        for plan in _pinned([Plan("replay", chunk=min(count, room))], pins):
            trial.time(plan)
    eager = trial.best()
    for plan in _pinned([replace(eager, name="compile", threads=eager.threads, recompute=False)], pins):
        # A graph of several tasks of pictures takes minutes to compile and gains nothing over that of one.
        plan = replace(plan, chunk=1) if plan.layout == "mixed" else plan
        if steps and _GAIN * steps * trial.seconds[eager] * tasks / count > _COMPILING * trial.operators(plan):
            trial.time(plan)
    return Choice(_scaled(trial.best(), count, tasks, room), _message(trial, count))


def _eager(learner: Learner, probe: Episode, chunk: int, threads: int) -> Iterator[Plan]:
    """Candidates that need no preparation."""
    pictures = any(leaf.ndim == 5 for _, leaf in tree.items(probe.query.x))  # [tasks, n, channels, height, width]
    # Threads first: where other processes keep the cores busy, the loop's own threads wait for each other.
    for plan in ([Plan("threads", threads=threads)] if threads > 1 else []) + [Plan("loop")]:
        yield plan
        if pictures:
            yield replace(plan, layout="channels_last")
            if splits(learner):
                yield replace(plan, layout="mixed")
    yield Plan("vmap", chunk=chunk)
    each = min(_CHUNK, -(-tree.length(probe) // threads), max(1, chunk // threads))
    if pictures and splits(learner) and each > 1:
        name = "threads" if threads > 1 else "vmap"
        yield Plan(name, chunk=each, threads=threads, layout="mixed")


def _pinned(plans: Any, pins: dict[str, Any]) -> Iterator[Plan]:
    """The plans with their fields pinned, each once; those that then make no sense are left out."""
    yield from dict.fromkeys(plan for plan in (_pin(p, pins) for p in plans) if plan is not None)


def _pin(plan: Plan, pins: dict[str, Any]) -> Plan | None:
    try:
        return replace(plan, **pins)
    except InputError:
        return None


def _scaled(plan: Plan, count: int, tasks: int, room: int) -> Plan:
    """A plan for all tasks from one for the probe: what took the probe at once takes as much as there is room for."""
    whole = plan.chunk == count and count < tasks and plan.layout != "mixed"
    return replace(plan, chunk=min(tasks, room)) if whole else plan


class _Trial:
    """Times of plans on the same tasks, and why some have none."""

    def __init__(self, learner: Learner, params: Params, probe: Episode, loop: Plan, stopped: Callable[[], bool]):
        self.learner, self.params, self.probe, self.loop, self.stopped = learner, params, probe, loop, stopped
        self.seconds: dict[Plan, float] = {}
        self.dropped: dict[Plan, str] = {}
        self.judged: set[Plan] = set()
        self._expected: Params | None = None

    def best(self) -> Plan:
        """The fastest plan that has the loop's gradient. Only what would be taken is judged."""
        while True:
            if not self.seconds:
                raise InputError(f"no plan runs {type(self.learner).__name__}: {'; '.join(self.dropped.values())}")
            plan = min(self.seconds, key=self.seconds.__getitem__)
            if plan in self.judged or plan == self.loop or self._exact(plan):
                self.judged.add(plan)
                return plan
            del self.seconds[plan]

    def brief(self, plan: Plan) -> float:
        """Seconds of a plan, roughly: of the second call where the first one may have been mostly preparation."""
        seconds = self._run(plan)[0]
        return min(seconds, self._run(plan)[0]) if seconds < _WARM else seconds

    def time(self, plan: Plan) -> None:
        """Twice where the first call was short, counting the better one."""
        if self.stopped():
            raise Stopped
        try:
            if plan.traced:
                self._run(plan)  # recorded and compiled before the clock starts
            seconds, gradient = self._run(plan)
        except Exception as error:
            # The loop is the judge: an error of the learner itself is raised there. Everything else that may go wrong
            # (no compiler, no memory, an operator that cannot be traced) is a reason not to choose this plan.
            if plan == self.loop:
                raise
            self.dropped[plan] = (str(error).strip().splitlines() or [type(error).__name__])[0]
            return
        apart = self._apart(gradient)
        if apart > _TOLERANCE.get(next(iter(gradient.values())).dtype if gradient else torch.float32, 2e-2):
            self.dropped[plan] = f"its gradient is {apart:.1e} from the loop's"
            return
        if seconds < _COLD:
            seconds = min(seconds, self._run(plan)[0])
        self.seconds[plan] = seconds

    def operators(self, plan: Plan) -> int:
        """How large the graph of a compiled plan is."""
        part = tree.slice(self.probe, slice(0, plan.chunk or None))
        try:
            return trace.recorded(self.learner, self.params, part, plan, compiled=False).operators
        except InputError:
            return 1 << 30

    def _run(self, plan: Plan) -> tuple[float, Params]:
        _synchronize(self.probe)
        start = time.perf_counter()
        gradient = execute(self.learner, self.params, self.probe, plan)[0]
        _synchronize(self.probe)
        return time.perf_counter() - start, gradient

    def _exact(self, plan: Plan) -> bool:
        """Whether the plan passes the check that pinned and audited plans pass; `dropped` says why not."""
        try:
            apart, most = exactness.gap(self.learner, self.params, self.probe, plan)
        except Exception as error:
            self.dropped[plan] = (str(error).strip().splitlines() or [type(error).__name__])[0]
            return False
        if not apart <= most:
            self.dropped[plan] = f"its gradient is {apart:.1e} from the loop's in float64"
        return apart <= most

    def _apart(self, gradient: Params) -> float:
        if self._expected is None:
            self._expected = execute(self.learner, self.params, self.probe, self.loop)[0]
        size = sum(float(v.square().sum()) for v in self._expected.values()) ** 0.5
        gap = sum(float((gradient[k] - v).square().sum()) for k, v in self._expected.items()) ** 0.5
        return gap / size if size > 0 else gap


def _message(trial: _Trial, count: int) -> str:
    best, loop = trial.best(), trial.loop
    faster = f", {trial.seconds[loop] / trial.seconds[best]:.1f}x the loop" if loop in trial.seconds else ""
    tried = f"{len(trial.seconds)} plans timed on {count} tasks"
    dropped = "".join(f"; not {plan}: {why}" for plan, why in trial.dropped.items())
    return f"plan: {best}{faster} ({tried}{dropped})"


class _Allocations(TorchDispatchMode):
    """Notes the memory of everything that is computed. It sees below `torch.func`, where saved-tensor hooks raise."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here, and to be skipped by the compiler would import it: a second."""
        return False

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        for value in tree_leaves(outputs):
            if isinstance(value, Tensor):
                memory = value.untyped_storage()
                alive = StorageWeakRef(memory)
                self.sizes[alive.cdata] = alive, memory.nbytes()
        return outputs

    def alive(self, inputs: list[Tensor]) -> int:
        """Bytes that something still holds, those of `inputs` apart, which views of them share."""
        others = {StorageWeakRef(value.untyped_storage()).cdata for value in inputs}
        return sum(size for k, (held, size) in self.sizes.items() if k not in others and not held.expired())


def _saved_bytes(learner: Learner, params: Params, episodes: Episode) -> int:
    """What the graph of one task keeps for the backward pass, the parameters and the task themselves among it."""
    leaves, task = {k: v.detach().requires_grad_() for k, v in params.items()}, tree.slice(episodes, 0)
    with torch.enable_grad(), _Allocations() as allocations:
        loss = learner.loss(leaves, task)
    inputs = [*leaves.values(), *tree.flatten(task)]
    saved = allocations.alive(inputs)
    del loss  # alive until here, and its graph with it
    return saved + sum(value.nbytes for value in inputs)


def _synchronize(probe: Episode) -> None:
    if probe.support.y.device.type == "cuda":
        torch.cuda.synchronize()
