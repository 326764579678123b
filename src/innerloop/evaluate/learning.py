"""Learning curves of groups of runs that differ in their seed alone: by meta-steps, and by processor seconds."""

import math
import statistics
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from innerloop.core import scores
from innerloop.core.scores import Score
from innerloop.engine.metrics import read_metrics

_GRID = 20
"""Moments of a curve by processor seconds."""
_MARKS = 4
"""Moments that tables have."""


class Mark(NamedTuple):
    """What the runs of a group had at one moment."""

    at: float
    """Meta-steps, or seconds of processor time of the training, validations with it."""
    mean: float
    """Over the runs."""
    spread: float | None
    """Standard deviation between the runs; None of one."""
    ci95: float
    """Half of the 95% interval of the mean over validation tasks, of which every run has its own."""


class Curve(NamedTuple):
    """Validation scores of one group."""

    name: str
    runs: int
    marks: tuple[Mark, ...]

    def before(self, at: float) -> Mark | None:
        """The last mark up to a moment; None: there is none yet."""
        place = bisect_right([mark.at for mark in self.marks], at)
        return self.marks[place - 1] if place else None


class _Validation(NamedTuple):
    step: float
    seconds: float | None
    mean: float
    ci95: float


class Learning(NamedTuple):
    """Curves of several groups."""

    score: Score
    by_steps: tuple[Curve, ...]
    by_seconds: tuple[Curve, ...]
    notes: tuple[str, ...]
    """Which groups have none, and why, a line each."""

    def table(self, seconds: bool) -> list[list[str]]:
        """Header and rows: the scores at a few moments that all groups, or most, reached."""
        curves = self.by_seconds if seconds else self.by_steps
        begin, end = min(curve.marks[0].at for curve in curves), max(curve.marks[-1].at for curve in curves)
        marks = [at for i in reversed(range(_MARKS)) if (at := end * 2.0**-i) >= begin]
        if not seconds:  # of those that there are
            steps = sorted({mark.at for curve in curves for mark in curve.marks})
            marks = sorted({steps[bisect_right(steps, at) - 1] for at in marks})
        head = [f"{at:,.1f} s" if seconds else f"{at:,.0f}" for at in marks]
        rows = [[curve.name, *(self._cell(curve.before(at)) for at in marks)] for curve in curves]
        return [[f"validation {self.score.title}", *head], *rows]

    def _cell(self, mark: Mark | None) -> str:
        if mark is None:
            return "–"
        values = [self.score.factor * v for v in (mark.mean, *(() if mark.spread is None else (mark.spread,)))]
        return " ± ".join(f"{value:.1f}" if self.score.percent else f"{value:.3g}" for value in values)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""

        def of(curves: Sequence[Curve], x: str) -> list[dict[str, Any]]:
            return [
                {
                    "name": curve.name,
                    "runs": curve.runs,
                    "points": [{x: m.at, "mean": m.mean, "spread": m.spread, "ci95": m.ci95} for m in curve.marks],
                }
                for curve in curves
            ]

        steps, seconds = of(self.by_steps, "step"), of(self.by_seconds, "cpu_seconds")
        return {"score": self.score.name, "by_steps": steps, "by_seconds": seconds, "notes": list(self.notes)}


def learning(groups: Sequence[tuple[str, Sequence[Path]]]) -> Learning | None:
    """Curves of what runs logged of their validations; None: no run logged any.

    Args:
        groups: Names, and the run folders of each.
    """
    logs = {name: [_validations(run) for run in runs] for name, runs in groups}
    names = {score for runs in logs.values() for _, score in runs if score is not None}
    if not names:
        return None
    chosen = sorted(names)[0] if len(names) > 1 else next(iter(names))
    by_steps, by_seconds, notes = list[Curve](), list[Curve](), list[str]()
    for name, runs in logs.items():
        rows = [found for found, score in runs if found and score == chosen]
        if len(rows) < len(runs):
            notes.append(f"{name} has no curve: not every run logged its validation {chosen} (--validate-every)")
            continue
        steps = sorted(set.intersection(*({row.step for row in one} for one in rows)))
        if not steps:
            notes.append(f"{name} has no curve: its runs were validated at different steps")
            continue
        at = [{row.step: row for row in one} for one in rows]
        by_steps.append(Curve(name, len(rows), tuple(_mark(s, [one[s] for one in at]) for s in steps)))
        timed = [[(row.seconds, row) for row in one if row.seconds is not None] for one in rows]
        if not all(timed):
            notes.append(f"{name} has no curve by processor time, which an earlier release did not log")
            continue
        by_seconds.append(Curve(name, len(rows), tuple(_by_seconds(timed))))
    return Learning(scores.named(chosen), tuple(by_steps), tuple(by_seconds), tuple(notes))


def _by_seconds(timed: Sequence[Sequence[tuple[float, _Validation]]]) -> list[Mark]:
    """What every run had last, from when all had something; one that has ended keeps its last score."""
    begin, end = max(one[0][0] for one in timed), max(one[-1][0] for one in timed)
    moments = sorted({begin + (end - begin) * i / (_GRID - 1) for i in range(_GRID)})
    marks = []
    for moment in moments:
        places = [bisect_right([seconds for seconds, _ in one], moment) for one in timed]
        marks.append(_mark(moment, [one[max(0, place - 1)][1] for one, place in zip(timed, places, strict=True)]))
    return marks


def _mark(at: float, rows: Sequence[_Validation]) -> Mark:
    means = [row.mean for row in rows]
    spread = statistics.stdev(means) if len(means) > 1 else None
    return Mark(at, statistics.fmean(means), spread, math.sqrt(sum(row.ci95**2 for row in rows)) / len(rows))


def _validations(run: Path) -> tuple[list[_Validation], str | None]:
    """A run's validations in order, and what they were scored by."""
    found, name = [], None
    for entry in read_metrics(run / "metrics.jsonl"):
        scored = entry.get("validation")
        if scored is None or scored.get("score") not in scores.SCORES:
            continue
        name, seconds = scored["score"], entry.get("cpu_seconds")
        step, mean, ci95 = (float(value) for value in (entry["step"], scored["mean"], scored["ci95"]))
        timed = float(seconds) if isinstance(seconds, int | float) else None
        found.append(_Validation(step, timed, mean, ci95))
    return found, name
