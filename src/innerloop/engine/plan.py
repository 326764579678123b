"""Which way of running a learner is fastest here: timed, not guessed."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.types import Episode, Params

NAMES = ("loop", "vmap", "threads")
_PROBE_TASKS = 8
_HOPELESS = 4.0
_CHOSEN: dict[Any, "Plan"] = {}


@dataclass(frozen=True)
class Plan:
    """A pinned way of running: see `engine.meta_gradient`."""

    name: str
    chunk: int = 8
    """Tasks at once under vmap; memory grows with it."""
    threads: int = 0
    """Python threads; 0: as many as this process may use cores."""

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise InputError(f"there is no plan '{self.name}': use auto, {', '.join(NAMES)}")
        if self.chunk < 1:
            raise InputError(f"a chunk holds at least 1 task, got {self.chunk}")
        if self.threads < 1:
            object.__setattr__(self, "threads", cores())


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose(learner: Learner, params: Params, episodes: Episode, run: Mapping[str, Callable]) -> Plan:
    """The fastest plan on the first tasks of `episodes`, remembered for the shapes.

    Each is timed twice and counts with its better time, unless the first one was hopeless. A learner that `vmap` cannot
    trace (data-dependent control flow) runs without it.
    """
    shapes = tuple((path, leaf.shape, leaf.dtype) for path, leaf in tree.items((params, episodes)))
    key = (learner, shapes, torch.get_num_threads())
    if key not in _CHOSEN:
        probe = tree.slice(episodes, slice(0, _PROBE_TASKS))
        # Threads first: where other processes keep the cores busy, the loop's own threads wait for each other.
        candidates = ([Plan("threads")] if cores() > 1 else []) + [Plan("vmap"), Plan("loop")]
        timed: dict[Plan, float] = {}
        for plan in candidates:
            timed[plan] = _seconds(run[plan.name], learner, params, probe, plan)
            if timed[plan] < _HOPELESS * min(timed.values()):
                timed[plan] = min(timed[plan], _seconds(run[plan.name], learner, params, probe, plan))
        _CHOSEN[key] = min(timed, key=timed.__getitem__)
    return _CHOSEN[key]


def _seconds(run: Callable, learner: Learner, params: Params, episodes: Episode, plan: Plan) -> float:
    start = time.perf_counter()
    try:
        run(learner, params, episodes, plan)
    except RuntimeError:
        if plan.name != "vmap":
            raise
        return float("inf")
    return time.perf_counter() - start
