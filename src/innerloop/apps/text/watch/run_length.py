"""How long a chart of counts runs until it crosses its limit, by theory: a Markov chain.

Brook and Evans 1972 (https://doi.org/10.1093/biomet/59.3.539), for charts `s <- max(0, decay * s + step)`: CUSUM with
decay 1, and EWMA with a barrier at 0. A chart between two points of the grid is shared out between them, which keeps
its mean, so that the error falls with the square of their distance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_STATES = 120
_TAIL = 1e-12
"""Probability of counts that are left out, at either end."""
_SEARCH = 60
_CLOSE = 0.02
"""Share of its run length by which a limit may give a longer one."""
_NARROW = 1e-5
"""Share of a limit that it is known to."""
_FOREVER = 1e12
SIZES = 4
"""Different sizes of windows that stand for all."""


@dataclass(frozen=True, eq=False)
class Steps:
    """What a chart moves by in one window, as a distribution."""

    values: np.ndarray
    """[n] float64."""
    chances: np.ndarray
    """[n] float64, which add up to 1."""


def counts(size: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts of a binomial distribution, and their chances.

    Args:
        size: Events.
        rate: The chance of each, above 0 and below 1.
    """
    spread = math.sqrt(size * rate * (1 - rate))
    reach = 8 * spread + 30  # of Poisson tails, too
    low, high = max(0, math.floor(size * rate - reach)), min(size, math.ceil(size * rate + reach))
    x = np.arange(low, high + 1)
    logs = np.array([_log_choose(size, int(one)) for one in x]) + x * math.log(rate) + (size - x) * math.log1p(-rate)
    chances = np.exp(logs)
    some = chances > _TAIL
    return x[some], chances[some] / chances[some].sum()


def representative(sizes: Sequence[int]) -> list[int]:
    """A few sizes of windows that stand for many: the middles of equal parts, when they are sorted."""
    ordered = sorted(sizes)
    parts = min(SIZES, len(ordered))
    return [ordered[(2 * i + 1) * len(ordered) // (2 * parts)] for i in range(parts)]


def chain(decay: float, steps: Steps, limit: float, states: int = _STATES) -> np.ndarray:
    """[states, states] chances to go from one value below the limit to another in one window.

    Args:
        decay: What stays of a value.
        steps: What is added to it.
        limit: Where the chart ends.
        states: Values on the grid, from 0 up to just below the limit.
    """
    width = limit / states
    after = np.maximum(decay * width * np.arange(states)[:, None] + steps.values, 0.0)  # [states, n]
    place = after / width
    below = np.minimum(place.astype(int), states - 1)
    share = np.minimum(place - below, 1.0)
    stays = (after < limit) * steps.chances
    rows = np.broadcast_to(np.arange(states)[:, None], after.shape)
    above = np.minimum(below + 1, states - 1)  # the last value stands for all up to the limit
    cells = np.concatenate([(rows * states + below).ravel(), (rows * states + above).ravel()])
    weights = np.concatenate([(stays * (1 - share)).ravel(), (stays * share).ravel()])
    return np.bincount(cells, weights, states * states).reshape(states, states)


def run_lengths(moves: np.ndarray) -> np.ndarray:
    """[states] mean windows until the limit is crossed, from every value of a `chain`."""
    return np.linalg.solve(np.eye(len(moves)) - moves, np.ones(len(moves)))


def settled(moves: np.ndarray) -> np.ndarray:
    """[states] where a chart is that has run for long without crossing its limit."""
    share = np.full(len(moves), 1 / len(moves))
    for _ in range(10_000):
        following = share @ moves
        following /= following.sum()
        if np.abs(following - share).max() < _TAIL:
            break
        share = following
    return share


def limit_for(decay: float, steps: Steps, length: float, least: float, most: float) -> float:
    """The limit that a chart crosses once in so many windows on average, from 0.

    Args:
        decay: Of the chart.
        steps: What it moves by while all is as usual.
        length: Windows.
        least: The lowest limit there may be, which may give a longer run.
        most: A limit that gives one.
    """
    low, high = least, most
    if _from_0(chain(decay, steps, least)) >= length:
        return least
    # Counts are whole, so that the run length jumps: it is never the one below the jump.
    for _ in range(_SEARCH):
        middle = (low + high) / 2
        found = _from_0(chain(decay, steps, middle))
        low, high = (middle, high) if found < length else (low, middle)
        if length <= found < (1 + _CLOSE) * length or high - low < _NARROW * high:
            break
    return high


def _from_0(moves: np.ndarray) -> float:
    """The mean run length from 0; infinite where rounding leaves no chance to get to the limit."""
    try:
        length = float(run_lengths(moves)[0])
    except np.linalg.LinAlgError:
        return math.inf
    return length if 1 <= length < _FOREVER else math.inf


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
