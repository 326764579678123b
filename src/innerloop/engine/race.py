"""Which of several does the same in the least time: in turns, so that what else the machine does meets them all."""

import statistics
from collections.abc import Callable, Iterable
from typing import TypeVar

Runner = TypeVar("Runner")
_FIRST = 0.5
"""Part of the time after which nobody else has a first call; who has had none by then takes no part. Whose first call
alone took as long has no second."""
_TURNS = 8


def race(runners: Iterable[Runner], once: Callable[[Runner], float | None], most: float) -> dict[Runner, list[float]]:
    """Let runners take turns (A B C A B C); the better half stays, until the best is ahead by more than its spread.

    First calls hold preparations: nobody leaves because of one, unless there is no time for a second of that length.

    Args:
        runners: The most promising first.
        once: Seconds of a call; None: it cannot run.
        most: Seconds for all calls together; no turn begins later, but the second of each.

    Returns:
        Seconds of the calls of each that ran, the first call before the others.
    """
    seconds: dict[Runner, list[float]] = {}
    spent = 0.0
    for runner in runners:
        if seconds and spent >= _FIRST * most:
            break
        if (took := once(runner)) is not None:
            seconds[runner] = [took]
            spent += took
    alive = [runner for runner, (took,) in seconds.items() if took < _FIRST * most]
    for turn in range(1, _TURNS):
        if len(alive) < 2 or (turn > 1 and spent >= most):
            break
        for runner in list(alive):
            took = once(runner)
            if took is None:
                alive.remove(runner)
                del seconds[runner]
                continue
            seconds[runner].append(took)
            spent += took
        alive.sort(key=lambda runner: min(seconds[runner]))
        if decided([seconds[runner] for runner in alive]):
            break
        alive = alive[: max(2, -(-len(alive) // 2))]
    return seconds


def decided(ranked: list[list[float]]) -> bool:
    """Whether the first of the times is ahead of the second by more than they scatter, first calls apart."""
    if len(ranked) < 2:
        return True
    best, next_best = (times[1:] for times in ranked[:2])
    if min(len(best), len(next_best)) < 2:
        return False
    spread = max(statistics.median(times) - min(times) for times in (best, next_best))
    return min(next_best) - min(best) > spread
