"""Work on one core at a time, and on several cores in as many Python threads.

How many cores torch computes on decides which kernel it takes for a convolution and how it splits a sum, so that
results differ by rounding. What is computed on one core is the same to the bit however many there are, and several
small pieces of work in several threads are faster than one after another on all cores.
"""

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")
_LESS = 5
"""Steps of priority that who gives way has less: a third of a core's time beside one of the others."""
_HERE = threading.local()
_MAKING = threading.Lock()
"""Held while a thread of ours is told to use one core, which torch would for that long tell every new thread too."""


def cores() -> int:
    """Cores this process may use: its share where torchrun started several on this host."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    beside = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, here // int(beside)) if beside.isdecimal() and int(beside) else here


def stay_on_one_core() -> None:
    """Let this thread compute on one core from now on, also where it calls `spread`: for one of several workers."""
    torch.get_num_threads()  # where a thread has never asked, its first question would overwrite what is set here
    torch.set_num_threads(1)
    _HERE.alone = True


def give_way() -> None:
    """Let this thread have a core after others of this program that want one, from now on, where the system can."""
    if sys.platform == "linux":  # elsewhere it would be said of the whole process
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.nice(0) + _LESS)


@contextlib.contextmanager
def compute_on_one_core() -> Iterator[None]:
    """Let this thread compute on one core for the length of the block, which is short and starts no thread.

    A thread that asks torch for the first time meanwhile would stay on one core: see `spread`, for what is longer.
    """
    before = torch.get_num_threads()
    if before > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before > 1:
            torch.set_num_threads(before)


def on_one_core(work: Callable[[], Result]) -> Result:
    """`work()`, on one core, in a thread for it where this one has more; see `spread`."""
    return spread(lambda _: work(), [None])[0]


def spread(work: Callable[[Part], Result], parts: Sequence[Part], threads: int | None = None) -> list[Result]:
    """`[work(part) for part in parts]`, each on one core, in threads that never have another.

    To let the calling thread have one core for a while would not do: torch keeps one count for every thread that has
    not asked yet, and one that asks meanwhile would stay on one core for ever.

    Args:
        work: Where it calls this itself, its parts are worked on by the thread that it runs in. A lock that it takes
            must not be held here: every thread might be waiting for it.
        parts: In the order in which threads take them.
        threads: How many at once; None: as many as torch would use in this thread.

    Raises:
        Exception: The first that `work` raises, in the order of the parts.
    """
    with _MAKING:
        here = torch.get_num_threads()
    threads = min(threads or here, len(parts))
    if getattr(_HERE, "alone", False) or (here == 1 and threads < 2):
        return [work(part) for part in parts]
    grad, autocast = torch.is_grad_enabled(), (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"))

    def one(part: Part) -> Result:
        # Neither the grad mode nor autocast is inherited by a thread.
        with torch.set_grad_enabled(grad), torch.autocast("cpu", enabled=autocast[0], dtype=autocast[1]):
            return work(part)

    if threads < 2:
        return [_workers(here).submit(one, part).result() for part in parts]
    return list(_workers(threads).map(one, parts))


@functools.cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """Kept: a new thread would make its own twin of every network again."""
    with _MAKING:
        here, all_started = torch.get_num_threads(), threading.Barrier(threads)
        pool = ThreadPoolExecutor(threads, thread_name_prefix="one core", initializer=stay_on_one_core)
        try:
            list(pool.map(lambda _: all_started.wait(), range(threads)))
        finally:
            torch.set_num_threads(here)  # theirs counts for every thread that is started after them
    return pool


def _begin_anew() -> None:
    """In a fork, which has none of the threads, neither the workers nor one that may have held the lock."""
    global _MAKING
    _MAKING = threading.Lock()
    _workers.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
