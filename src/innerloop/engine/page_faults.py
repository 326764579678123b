"""What it costs a training that memory is given back and taken anew, told once."""

import sys

from innerloop.core import allocator
from innerloop.engine.watchers import Watcher

_AFTER, _OVER = 2, 3
"""Steps before counting, in which plans are timed and heaps grow, and steps that are counted."""
_MANY, _SHARE = 1_000, 0.05
"""Page faults a step, and share of the processor's time that the kernel takes, from which it is worth a line."""


class PageFaults(Watcher):
    """Says so where the kernel clears the same pages in every step, and what to do."""

    def __init__(self) -> None:
        self._heard = 0
        self._before = (0, 0.0, 0.0)

    def step(self, number: int, metrics: dict[str, float]) -> None:
        self._heard += 1
        if self._heard == _AFTER:
            self._before = _used()
        elif self._heard == _AFTER + _OVER and allocator.gives_back():
            faults, kernel, total = (now - before for now, before in zip(_used(), self._before, strict=True))
            if faults / _OVER >= _MANY and kernel >= _SHARE * total:
                print(
                    f"innerloop: {kernel / total:.0%} of the processor's time goes to the kernel, for "
                    f"{faults // _OVER:,} page faults a step, because glibc gives freed memory back: call "
                    "innerloop.core.allocator.keep_memory() before the first tensor is made",
                    file=sys.stderr,
                )


def _used() -> tuple[int, float, float]:
    """Page faults of this process so far, and seconds of the processor: in the kernel, and in all."""
    try:
        import resource
    except ImportError:  # Windows
        return 0, 0.0, 0.0
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_minflt, used.ru_stime, used.ru_utime + used.ru_stime
