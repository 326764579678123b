"""A contender's process: makes its work, then does it whenever it is told to. Started by `benchmarks.contest`."""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TURN = 0.1
"""Seconds that a turn lasts at least: a single call of half a millisecond would be timed with cold caches."""
_CALLS = 400


@dataclass(kw_only=True)
class Work:
    """What a contender does."""

    run: Callable[[], float | None]
    """One call; what it returns (a loss, an accuracy) is kept where it is asked for."""
    steps: int = 1
    """Meta-steps in a call; times are told for one."""
    said: str = ""
    """What it chose by itself, for the tables."""
    flops: Callable[[], float] | None = None
    """Floating-point operations of a step."""
    extras: Callable[[], dict[str, Any]] | None = None
    """More findings, asked for at the end."""
    single: bool = False
    """A turn is one call, however short."""
    score: Callable[[], float] | None = None
    """Told after a turn, outside of the clock."""


def main() -> None:
    # What libraries print must not end up between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    name, options = sys.argv[1], json.loads(sys.argv[2])

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")

    try:
        module, _, factory = name.partition(":")
        make = getattr(importlib.import_module(module), factory)
        before = resident("VmRSS")
        answer(imported=True)
        work: Work | None = None
        for line in sys.stdin:
            command = line.strip()
            if command == "make":
                start = time.perf_counter()
                made: Work = make(**options)
                work = made
                answer(seconds=time.perf_counter() - start, said=made.said)
                continue
            assert work is not None
            if command == "warm":
                answer(**_warm(work))
            elif command == "turn":
                answer(**_turn(work))
            elif command == "flops":
                answer(flops=work.flops() if work.flops else None)
            elif command == "peak":
                answer(peak=max(0, resident("VmHWM") - before))
            elif command == "extras":
                answer(extras=work.extras() if work.extras else {})
    except Exception as error:
        # Told to the parent, which writes it into the table: one contender that fails must not end the contest.
        said = str(error).strip().splitlines()
        answer(error=f"{type(error).__name__}: {said[0] if said else ''}")
        raise


def _warm(work: Work) -> dict[str, Any]:
    """Two calls, or one long one: the first compiles, and its loss tells whether contenders do the same work."""
    start = time.perf_counter()
    value = work.run()
    first = time.perf_counter() - start
    if first < 2 and not work.single:
        work.run()
    return {"seconds": first, "value": value}


def _turn(work: Work) -> dict[str, Any]:
    calls = 1
    start = time.perf_counter()
    value = work.run()
    seconds = time.perf_counter() - start
    if seconds < _TURN / 2 and not work.single:
        calls = min(_CALLS, int(_TURN / max(seconds, 1e-6)) + 1)
        start = time.perf_counter()
        for _ in range(calls):
            value = work.run()
        seconds = time.perf_counter() - start
    return {"seconds": seconds / calls / work.steps, "value": work.score() if work.score else value}


def resident(field: str) -> int:
    """Bytes: `VmRSS` now, `VmHWM` at most so far; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    return next(int(line.split()[1]) << 10 for line in status.read_text().splitlines() if line.startswith(field))


if __name__ == "__main__":
    main()
