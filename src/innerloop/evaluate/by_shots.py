"""A score against the number of shots, on the same tasks: what labels buy, and what the next ten would.

Shots of one task are nested and its queries are the same, so that differences are paired. The forecast extends
`limit + gain * shots ** -power`: learning curves fall as powers (Hestness and others 2017, arXiv:1712.00409). The power
is fitted, and the interval also takes in what a power of 1/2 says, and how far the last point is from what the others
say.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.errors import InputError
from innerloop.core.interval import Interval
from innerloop.core.scores import Score
from innerloop.evaluate.compare import aligned
from innerloop.evaluate.result import Point, finite, spell

NEXT = 10
"""Shots that a forecast goes beyond those measured."""
_POWERS = tuple(0.1 * i for i in range(2, 21))
_ROOT = 0.5
_FEWEST = 3
_RESAMPLES = 400
_SEED = 0x54075
_SLACK = 2.0
"""Half-widths by which the last point may miss what the others say of it."""


class Gain(NamedTuple):
    """What more shots bought."""

    less: int
    more: int
    difference: Interval
    """Paired, task by task."""

    @property
    def each(self) -> Interval:
        """The same for one of those shots, a label of every class."""
        labels = self.more - self.less
        return Interval(self.difference.mean / labels, self.difference.ci95 / labels)


class Forecast(NamedTuple):
    """What so many shots would give."""

    shots: int
    total: Interval | None
    """With half of a 95% interval: of the tasks drawn anew, of the form of the curve, and of how far the last point
    was from what the others say of it. None: it cannot be said."""
    gain: Interval | None
    """Against the most shots that were measured."""
    reason: str
    """How it was made, or why it was not."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ByShots:
    """Scores of the same tasks, or examples, with several numbers of shots."""

    shots: tuple[int, ...]
    """Ascending."""
    scores: Tensor
    """[shots, tasks, k] float64."""
    score: Score
    of: str = "tasks"
    """What the interval is over."""

    @property
    def points(self) -> tuple[Point, ...]:
        """Total with its interval for every number of shots."""
        return tuple(Point(k, *self.score.interval(rows)) for k, rows in zip(self.shots, self.scores, strict=True))

    @property
    def gains(self) -> tuple[Gain, ...]:
        """What every number of shots has over the one before it."""
        pairs = zip(range(len(self.shots) - 1), self.shots, self.shots[1:], strict=False)
        return tuple(
            Gain(less, more, self.score.difference(self.scores[i + 1], self.scores[i])) for i, less, more in pairs
        )

    def forecast(self) -> Forecast:
        """What `NEXT` further shots would give, or why that cannot be said."""
        target = self.shots[-1] + NEXT
        if len(self.shots) < _FEWEST:
            why = f"a forecast takes {_FEWEST} numbers of shots or more, and {len(self.shots)} were measured"
            return Forecast(target, None, None, why)
        if self.scores.shape[1] < 2:
            return Forecast(target, None, None, f"a forecast takes several {self.of}")
        curves = self._resampled()  # [draws, shots], the first of them as measured
        enough = len(self.shots) > _FEWEST  # those without the last one tell of the power, too
        fewer = _POWERS if enough else (_ROOT,)
        last, before = _extended(self.shots[:-1], curves[:, :-1], self.shots[-1], fewer), curves[:, -1]
        missed = float(before[0] - last[0])
        spread = float((last - before)[1:].std()) * 1.96
        ahead = torch.stack([_extended(self.shots, curves, target, powers) for powers in ((_ROOT,), _POWERS)])
        change = float(ahead[-1, 0] - before[0])
        # Where the last point is far from what the others say, the curve has not the form that it is extended by.
        if enough and abs(missed) > _SLACK * spread and abs(missed) > abs(change):
            number = _spell(float(last[0]), self.score), _spell(float(before[0]), self.score)
            return Forecast(
                target,
                None,
                None,
                f"the numbers of fewer shots would have said {number[0]} of {self.shots[-1]}, and {number[1]} was "
                "measured: a curve like this cannot be extended",
            )
        total, gain = (self._interval(values, missed) for values in (ahead, ahead - before))
        if self.score.percent:
            total = Interval(min(1.0, max(0.0, total.mean)), total.ci95)
            gain = Interval(total.mean - float(before[0]), gain.ci95)
        return Forecast(target, total, gain, "extended as a power of the shots; it is no measurement")

    def _interval(self, values: Tensor, missed: float) -> Interval:
        """Interval of [forms, draws] values, the last form as measured in the middle."""
        draws, middle = values[:, 1:].flatten().sort().values, float(values[-1, 0])
        ends = torch.tensor([0.025, 0.975], dtype=draws.dtype)
        low, high = draws.quantile(ends).tolist()
        return Interval(middle, math.hypot(max(high - middle, middle - low), missed))

    def _resampled(self) -> Tensor:
        """Totals as measured, then of tasks drawn anew with replacement, the same for all numbers of shots."""
        tasks = self.scores.shape[1]
        rows = [torch.arange(tasks), *(random.bits(random.mix(_SEED, 0), (_RESAMPLES, tasks)) % tasks)]
        return torch.tensor([[self.score.total(one[row]) for one in self.scores] for row in rows], dtype=torch.float64)

    def table(self) -> list[list[str]]:
        """Header and rows: the score of every number of shots, and what those since the one before bought."""
        score = self.score
        rows = [["shots", score.title, "bought", "by one label of every class"]]
        gains = [("", ""), *((spell(*g.difference, score, True), spell(*g.each, score, True)) for g in self.gains)]
        return rows + [[str(p.step), spell(p.mean, p.ci95, score), *g] for p, g in zip(self.points, gains, strict=True)]

    def __str__(self) -> str:
        return f"{aligned(self.table())}\n{self.outlook}"

    @property
    def outlook(self) -> str:
        """The forecast in words."""
        ahead = self.forecast()
        if ahead.total is None or ahead.gain is None:
            return f"of {ahead.shots} shots nothing is forecast: {ahead.reason}"
        number, gain = spell(*ahead.total, self.score), spell(*ahead.gain, self.score, True)
        return f"{ahead.shots} shots would give about {number} ({gain}): {ahead.reason}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without the scores of single tasks."""

        def of(one: Interval | None) -> dict[str, Any] | None:
            return None if one is None else {k: finite(v) for k, v in one._asdict().items()}

        points = [{"shots": p.step, "mean": finite(p.mean), "ci95": finite(p.ci95)} for p in self.points]
        gains = [{"from": g.less, "to": g.more, "difference": of(g.difference), "each": of(g.each)} for g in self.gains]
        ahead = self.forecast()
        values = {"shots": ahead.shots, "total": of(ahead.total), "gain": of(ahead.gain), "reason": ahead.reason}
        return {"score": self.score.name, "points": points, "gains": gains, "forecast": values}


def check_shots(shots: Sequence[int]) -> tuple[int, ...]:
    """Numbers of shots, ascending.

    Raises:
        InputError: One is below 1, is given twice, or there are none.
    """
    low = next((k for k in shots if k < 1), None)
    if low is not None:
        raise InputError(f"shots must be at least 1, got {low}")
    twice = next((k for i, k in enumerate(shots) if k in shots[:i]), None)
    if twice is not None:
        raise InputError(f"{twice} shots are given twice: once will do")
    if not shots:
        raise InputError("give the numbers of shots, such as 1 2 5 10")
    return tuple(sorted(shots))


def _extended(shots: Sequence[int], curves: Tensor, at: int, powers: Sequence[float]) -> Tensor:
    """[draws] values at so many shots, of the power that fits each curve best by least squares.

    Args:
        shots: Where the curves are known.
        curves: [draws, shots].
        at: Where they are extended to.
        powers: Which are tried.
    """
    best = torch.full(curves.shape[:1], math.inf, dtype=curves.dtype)
    values = torch.zeros_like(best)
    known = torch.tensor(shots, dtype=curves.dtype)
    for power in powers:
        design = torch.stack([torch.ones_like(known), known**-power], 1)
        line = torch.linalg.pinv(design) @ curves.T  # [2, draws]
        left = (design @ line - curves.T).square().sum(0)
        values = torch.where(left < best, line[0] + line[1] * at**-power, values)
        best = torch.minimum(best, left)
    return values


def _spell(value: float, score: Score) -> str:
    return f"{100 * value:.1f}%" if score.percent else f"{value:.3g}"
