"""Work on one core at a time, and on several cores in as many Python threads.

How many cores torch computes on decides which kernel it takes for a convolution and how it splits a sum, so that
results differ by rounding. What is computed on one core is the same to the bit however many there are, and several
small pieces of work in several threads are faster than one after another on all cores.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")
_HERE = threading.local()


def cores() -> int:
    """Cores this process may use: its share where torchrun started several on this host."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    beside = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, here // int(beside)) if beside.isdecimal() and int(beside) else here


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Let torch use one core for what this thread computes inside."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)


def stay_on_one_core() -> None:
    """Let this thread compute on one core from now on, also where it calls `spread`: for one of several workers."""
    torch.set_num_threads(1)
    _HERE.alone = True


def spread(work: Callable[[Part], Result], parts: Sequence[Part], threads: int | None = None) -> list[Result]:
    """`[work(part) for part in parts]`, each on one core, over several threads.

    Args:
        work: Where it calls this itself, its parts are worked on by the thread that it runs in.
        parts: In the order in which threads take them.
        threads: How many; None: as many as torch would use in this thread.

    Raises:
        Exception: The first that `work` raises, in the order of the parts.
    """
    threads = min(threads or torch.get_num_threads(), len(parts))
    if threads < 2 or getattr(_HERE, "alone", False):
        with one_core():
            return [work(part) for part in parts]
    intra_op, grad = torch.get_num_threads(), torch.is_grad_enabled()
    autocast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def one(part: Part) -> Result:
        stay_on_one_core()
        # Neither the grad mode nor autocast is inherited by a thread.
        with torch.set_grad_enabled(grad), torch.autocast("cpu", enabled=autocast[0], dtype=autocast[1]):
            return work(part)

    try:
        return list(_workers(threads).map(one, parts))
    finally:
        torch.set_num_threads(intra_op)  # theirs counts for every thread that is started after them


@functools.cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """Kept: a new thread would make its own twin of every network again."""
    return ThreadPoolExecutor(threads, thread_name_prefix="one core")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.cache_clear)  # a fork has none of the threads
