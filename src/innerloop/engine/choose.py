"""Which way of running a learner is fastest here: timed on the first real tasks, not guessed, and remembered."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.threads import cores, on_one_core
from innerloop.core.types import Episode, Params
from innerloop.engine import trace
from innerloop.engine.execute import execute
from innerloop.engine.footprint import saved_bytes
from innerloop.engine.halves import splits
from innerloop.engine.plan import Plan, free_memory
from innerloop.engine.remembered import Place, Remembered
from innerloop.engine.trial import Stopped, Trial, timed

__all__ = ["Choice", "Length", "Stopped", "choose"]

_PROBE_TASKS, _PROBE_BYTES = 16, 64 << 20
"""Plans are timed on so many tasks, or as many as keep so many bytes for the backward pass: all of small ones."""
_CHUNK = 8
_LEAST, _SHARE, _MOST = 3.0, 0.05, 8.0
"""Seconds that timing may take in any run; the part of a longer run; and the seconds that are always enough for what
needs no compiler."""
_USUAL = 200
"""Steps of a run of which nobody says how long it will be."""
_CALLS = 8
"""Calls of the loop on the tasks of a trial that the time for it would be enough for, at least."""
_TRIED = 2 << 30
"""Bytes that the graphs of a trial may take."""
_PICTURES = 512 << 20
"""Bytes that the graphs of a vmap over pictures may take: larger ones were never the fastest."""
_SMALL = 0.2
"""Seconds of a vmapped probe below which Python's part of the work is worth recording away."""
_COMPILING = 0.05
"""Seconds to compile one operator, roughly: once for the trial, once with the meta-optimizer."""
_REPAYS = 0.3
"""Part of a run that compiling the whole step of a small network may take: it is left with a half to a fifth."""
_ALIKE = 1.5
"""Times that a recorded step takes longer on one core, or on all, beyond which it is not compiled so."""
_BRIEF = 0.3
"""Seconds that a whole training takes by the loop below which no other plan is timed: that takes longer."""
_WARM = 0.1
"""Seconds of a first call, most of which may be what only first calls do."""
_CHOSEN: "dict[Any, Choice]" = {}


class Choice(NamedTuple):
    """A plan, and a line that says why."""

    plan: Plan
    message: str
    only_now: bool = False
    """Whether it holds for so few steps alone."""
    each: int = 0
    """Bytes that the graph of one task keeps."""


@dataclass(frozen=True, kw_only=True)
class Length:
    """How long a run will be, as far as anybody knows."""

    steps: int = 0
    """Meta-steps that are left; 0: nobody knows."""
    cpu_seconds: float | None = None
    """Processor seconds that are left; None: as many as it takes."""

    def seconds(self, step: float) -> float:
        """How long the run takes, where a meta-step takes so many seconds; 0: nobody knows."""
        by_time = float("inf") if self.cpu_seconds is None else self.cpu_seconds / cores()
        return min(self.steps * step, by_time)

    def said(self, step: float) -> str:
        """The length in words, where a meta-step takes so many seconds."""
        if self.seconds(step) < self.steps * step:
            return f"{self.cpu_seconds:.2g} s of processor time"
        return f"{self.steps} step{'s' * (self.steps != 1)} of {1000 * step:.2g} ms"

    @property
    def rough(self) -> tuple[int, int]:
        """For a key: runs of about one length take one plan."""
        return self.steps.bit_length(), 0 if self.cpu_seconds is None else round(self.cpu_seconds).bit_length()


def choose(
    learner: Learner,
    params: Params,
    episodes: Episode,
    length: Length = Length(),
    stopped: Callable[[], bool] = lambda: False,
    retime: bool = False,
    cache: str | Path | None = None,
    **pins: Any,
) -> Choice:
    """The fastest plan on the first tasks of `episodes`, remembered for the shapes, here and in the cache folder.

    Not chosen is what cannot run the learner, whose gradient is not the loop's, or that needs more memory than half of
    what is free. Choosing takes 3 seconds or a twentieth of the run, whichever is more, and what is judged in the end
    two tasks in float64; compiling must be worth it, and where the run takes less time than the choice would, it is the
    loop.

    Args:
        learner: The algorithm.
        params: Meta-parameters.
        episodes: Tasks, stacked along a leading axis.
        length: Of the run. Where nobody knows it, nothing is compiled.
        stopped: Asked before every call.
        retime: Forget what was chosen before.
        cache: The cache folder; None: the environment's, or the user's.
        pins: Fields of `Plan` that every candidate has.

    Raises:
        Stopped: `stopped` said so.
    """
    shapes = trace.shapes((params, episodes))
    key = (learner, shapes, torch.get_num_threads(), length.rough, tuple(pins.items()))
    if key in _CHOSEN and not retime:
        return _CHOSEN[key]
    asked = {"shapes": [[str(part) for part in leaf] for leaf in shapes], "length": length.rough, "pins": pins}
    place = Place(learner, asked, cache)
    kept = None if retime else place.read()
    if kept is not None and _fits(kept, episodes):
        message = f"plan: {kept.plan} (remembered; --retime times it again)"
        choice = Choice(kept.plan, message, kept.only_now, kept.each)
    else:
        choice = _choose(learner, params, episodes, length, stopped, pins)
        place.write(Remembered(choice.plan, choice.each, choice.only_now))
    _CHOSEN[key] = choice
    return choice


def _fits(kept: Remembered, episodes: Episode) -> bool:
    """Whether there is room now for a plan that there was room for."""
    tasks = tree.length(episodes)
    at_once = kept.plan.together if kept.plan.chunk else tasks
    return min(at_once, tasks) * kept.each <= free_memory(episodes.support.y.device) // 2 or kept.plan.recompute


def _choose(
    learner: Learner,
    params: Params,
    episodes: Episode,
    length: Length,
    stopped: Callable[[], bool],
    pins: dict[str, Any],
) -> Choice:
    each, tasks = max(1, saved_bytes(learner, params, episodes)), tree.length(episodes)
    room = free_memory(episodes.support.y.device) // 2 // each
    if room < 1:
        plan = Plan("loop", recompute=True)
        return Choice(plan, f"plan: {plan}: the graph of one task would fill half of the free memory", each=each)
    loop = Plan("loop", precision=pins.get("precision", "float32"))
    one = _seconds_of_one(learner, params, episodes, loop)
    run, simple = length.seconds(one * tasks), _pin(loop, pins)
    if simple is not None and 0 < run < _BRIEF:
        why = f"no other was timed, for {length.said(one * tasks)}"
        return Choice(simple, f"plan: {simple} ({why})", only_now=True, each=each)
    most = max(_LEAST, min(_SHARE * (run or _USUAL * one * tasks), _MOST))
    threads = max(1, min(cores(), room, tasks))
    count = max(threads, min(max(_PROBE_TASKS, _PROBE_BYTES // each), int(most / _CALLS / max(one, 1e-9))))
    probe = tree.slice(episodes, slice(0, count))
    count = tree.length(probe)
    trial = Trial(learner, params, probe, loop, one, stopped)
    chunk = max(1, min(count, room, _TRIED // each))
    vmap = Plan("vmap", chunk=max(1, min(chunk, _PICTURES // each)) if _pictures(probe) else chunk)
    trial.race(_pinned(_eager(learner, probe, vmap, chunk, threads), pins), most)
    if not trial.seconds:
        raise InputError(f"no plan runs {type(learner).__name__} with {pins}: {'; '.join(trial.dropped.values())}")
    if trial.seconds.get(_pin(vmap, pins) or loop, _SMALL) < _SMALL:
        trial.race([*_pinned(_replayed(probe, vmap), pins), trial.best()], most / 2)
    run = length.seconds(trial.seconds[trial.best()] * tasks / count)
    compiled = [plan for plan in _pinned(_compiled(trial, chunk, threads), pins) if _repays(trial, plan, run)]
    if compiled:
        trial.race([*compiled, trial.best()], most)
    best = _scaled(trial.best(), count, tasks, room)
    return Choice(best, trial.message(best, count), each=each)


def _seconds_of_one(learner: Learner, params: Params, episodes: Episode, loop: Plan) -> float:
    """One task by the loop, on one core; again where the first call may have been mostly preparation."""
    one = tree.slice(episodes, slice(0, 1))
    seconds = float("inf")
    for _ in range(2):
        with timed(one) as clock:
            on_one_core(lambda: execute(learner, params, one, loop))
        seconds = min(seconds, clock[0])
        if seconds >= _WARM:
            break
    return seconds


def _pictures(episodes: Episode) -> bool:
    return any(leaf.ndim == 5 for _, leaf in tree.items(episodes.query.x))  # [tasks, n, channels, height, width]


def _eager(learner: Learner, probe: Episode, vmap: Plan, chunk: int, threads: int) -> Iterator[Plan]:
    """Candidates that need no preparation, the most promising first."""
    # Threads before loops: where other processes keep the cores busy, the loop's own threads wait for each other.
    alone = [Plan("threads", threads=threads)] if 1 < threads <= chunk else []
    if not _pictures(probe):
        yield from (vmap, Plan("loop"), *alone)
        return
    halved, each = splits(learner), _chunk(probe, chunk, threads)
    if halved and each > 1:
        yield Plan("threads" if threads > 1 else "vmap", chunk=each, threads=threads, layout="mixed")
    layouts = ("mixed", "channels_last", "contiguous") if halved else ("channels_last", "contiguous")
    for plan in (*alone, Plan("loop")):
        yield from (replace(plan, layout=layout) for layout in layouts)
    yield vmap


def _replayed(probe: Episode, vmap: Plan) -> Iterator[Plan]:
    """Candidates that record a vmap."""
    yield replace(vmap, name="replay")
    if torch.get_num_threads() > 1 and probe.support.y.device.type == "cpu":
        yield replace(vmap, name="replay", one_core=True)


def _compiled(trial: Trial, chunk: int, threads: int) -> Iterator[Plan]:
    """Candidates that are compiled, given what was fastest without."""
    eager = trial.best()
    if not _pictures(trial.probe) or trial.probe.support.y.device.type != "cpu":
        yield replace(eager, name="compile", recompute=False)
        for other, seconds in trial.seconds.items():
            if eager.traced and other.traced and other != eager and seconds < _ALIKE * trial.seconds[eager]:
                yield replace(other, name="compile")
        return
    if splits(trial.learner):
        yield Plan("compile-query", chunk=_chunk(trial.probe, chunk, threads), threads=threads)
    # A graph of several tasks of pictures takes minutes to compile and gains nothing over that of one.
    yield Plan("compile", chunk=1, threads=threads, layout="mixed" if splits(trial.learner) else "channels_last")


def _chunk(probe: Episode, chunk: int, threads: int) -> int:
    """Tasks that a thread takes at once."""
    return min(_CHUNK, -(-tree.length(probe) // threads), max(1, chunk // threads))


def _repays(trial: Trial, plan: Plan, run: float) -> bool:
    """Whether a run of so many seconds is long enough to compile for."""
    share = _SHARE if _pictures(trial.probe) else _REPAYS
    return run > 0 and share * run > _COMPILING * _operators(trial, plan)


def _operators(trial: Trial, plan: Plan) -> int:
    """How large the graph of a compiled plan is."""
    try:
        if plan.name == "compile-query":
            return trace.recorded_query(trial.learner, trial.params, trial.probe, plan, compiled=False)[1]
        part = tree.slice(trial.probe, slice(0, plan.chunk or None))
        return trace.recorded(trial.learner, trial.params, part, plan, compiled=False).operators
    except InputError:
        return 1 << 30


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
    if plan.layout == "mixed":
        each = min(_CHUNK, -(-tasks // plan.threads), max(1, room // plan.threads))
        return replace(plan, chunk=max(plan.chunk, each)) if plan.chunk > 1 and not plan.traced else plan
    return replace(plan, chunk=min(tasks, room)) if plan.chunk == count < tasks else plan
