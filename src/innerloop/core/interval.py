"""Intervals over tasks: a task is the unit, never its queries."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.errors import InputError

Z95 = 1.96
_RESAMPLES, _BLOCK = 2000, 100
_SEED = 0x5C04E
_TAIL = 0.025
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""97.5% quantiles of Student's distribution with 1 to 10 degrees of freedom."""
ROUNDING = 1e-12
"""Share of the bounds by which scores that are the same may differ."""


SHARES = (0.0, 1.0)
"""Bounds of accuracies and other shares."""


class Interval(NamedTuple):
    """A mean, or another total, and the half-width of its 95% confidence interval."""

    mean: float
    ci95: float
    """NaN when there is one task: it says nothing about the spread."""


def interval(scores: Tensor | Sequence[float], bounds: tuple[float, float] | None = None) -> Interval:
    """Mean over tasks, and `1.96 std(ddof=1) / sqrt(tasks)`, in float64.

    Where all scores are equal their spread says nothing, and "100.0 ± 0.0%" would be certainty from a sample. Scores
    between known bounds then get the exact interval of Clopper and Pearson (Biometrika 26, 1934), which needs no
    spread: if a share q of all tasks had another score, n tasks would show none of them with probability (1 - q)^n, so
    at 95% (2.5% on each side) q is at most 1 - 0.025^(1/n), 0.6% for n = 600, and those tasks may be as far away as the
    farther bound.

    One NaN among the scores makes both NaN: a task that failed is never left out silently.

    Args:
        scores: [tasks] one number per task.
        bounds: The lowest and the highest score there can be; None: unknown.

    Raises:
        InputError: There is no score, or more than one axis.
    """
    values = torch.as_tensor(scores, dtype=torch.float64)
    if values.dim() != 1 or len(values) == 0:
        raise InputError(f"an interval needs one score per task, got shape {tuple(values.shape)}")
    if len(values) == 1:
        return Interval(values.item(), float("nan"))
    # Up to rounding: an error rate of a task may be 1e-17 where it is none.
    if bounds is not None and float(values.max() - values.min()) <= ROUNDING * (bounds[1] - bounds[0]):
        return Interval(values[0].item(), unseen(values[0].item(), len(values), bounds))
    return Interval(values.mean().item(), (Z95 * values.std(correction=1) / len(values) ** 0.5).item())


@dataclass(frozen=True)
class Share:
    """How many of so many independent examples, as a share with its 95% interval."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """The share; NaN of none."""
        return self.count / self.of if self.of else math.nan

    @property
    def ends(self) -> tuple[float, float]:
        """The score interval of Wilson (JASA 22, 1927): honest for few examples and at 0 and 1; of none: (0, 1)."""
        if not self.of:
            return SHARES
        z2 = Z95**2 / self.of
        middle = (self.value + z2 / 2) / (1 + z2)
        half = math.sqrt(z2 * (self.value * (1 - self.value) + z2 / 4)) / (1 + z2)
        # Rounding leaves 1e-17 where an end is 0.
        low = 0.0 if self.count == 0 else middle - half
        return low, 1.0 if self.count == self.of else middle + half

    def __str__(self) -> str:
        low, high = self.ends
        return f"{100 * self.value:.1f}% ({100 * low:.1f} to {100 * high:.1f}%)" if self.of else "unknown"

    def to_json(self) -> dict[str, float | int | None]:
        """Plain JSON values."""
        low, high = self.ends
        return {"value": self.value if self.of else None, "low": low, "high": high, "count": self.count, "of": self.of}


def unseen(value: float, tasks: int, bounds: tuple[float, float]) -> float:
    """How far the mean may be from a value that all of so many tasks have, at 95%; see `interval`."""
    return (1 - _TAIL ** (1 / tasks)) * max(value - bounds[0], bounds[1] - value)


def difference(scores: Tensor | Sequence[float], reference: Tensor | Sequence[float]) -> Interval:
    """`scores - reference` task by task: far narrower than the two intervals apart, since hard tasks are hard for both.

    Raises:
        InputError: The two were not measured on the same number of tasks.
    """
    ours, theirs = (torch.as_tensor(s, dtype=torch.float64) for s in (scores, reference))
    if ours.shape != theirs.shape:
        raise InputError(f"paired scores need the same tasks, got {len(ours)} and {len(theirs)}")
    return interval(ours - theirs)


def between(ones: Sequence[float], others: Sequence[float]) -> Interval:
    """Difference of two means with Welch's 95% interval (Biometrika 34, 1947): honest for three seeds of each.

    Args:
        ones: A number of every training of one kind.
        others: Of another kind; of either at least two.

    Raises:
        InputError: There is a single one, which says nothing about the spread.
    """
    gap = welch(ones, others)
    return Interval(gap.mean, _student(gap.freedom) * gap.error)


class Gap(NamedTuple):
    """Difference of two means."""

    mean: float
    error: float
    """Its standard error."""
    freedom: float
    """Degrees of freedom of Student's distribution; infinite where nothing varies."""


def welch(ones: Sequence[float], others: Sequence[float]) -> Gap:
    """What Welch's interval and test are made of; as `between`."""
    if min(len(ones), len(others)) < 2:
        raise InputError("a comparison of trainings needs at least two of each kind")
    parts, sizes = [variance(values) / len(values) for values in (ones, others)], (len(ones), len(others))
    error, freedom = math.sqrt(sum(parts)), math.inf
    if error:
        freedom = sum(parts) ** 2 / sum(part**2 / (n - 1) for part, n in zip(parts, sizes, strict=True))
    return Gap(fmean(ones) - fmean(others), error, freedom)


def paired(ones: Sequence[float], others: Sequence[float]) -> Interval:
    """Mean of the differences `ones - others`, pair by pair, with Student's 95% interval: for a few seeds of each.

    Raises:
        InputError: There are not as many of one as of the other, or none.
    """
    if len(ones) != len(others) or not ones:
        raise InputError(f"pairs need as many of one as of the other, got {len(ones)} and {len(others)}")
    gaps = [a - b for a, b in zip(ones, others, strict=True)]
    if len(gaps) == 1:
        return Interval(gaps[0], math.nan)
    return Interval(fmean(gaps), _student(len(gaps) - 1) * math.sqrt(variance(gaps) / len(gaps)))


def _student(freedom: float) -> float:
    """The 97.5% quantile of Student's distribution, of the lower of two whole degrees of freedom: the wider."""
    whole = max(1, math.floor(freedom)) if math.isfinite(freedom) else 0
    if 0 < whole <= len(_STUDENT):
        return _STUDENT[whole - 1]
    return Z95 + (2.37 / whole + 2.82 / whole**2 if whole else 0.0)  # its expansion, to 0.001 from here on


def bootstrap(
    total: Callable[[Tensor], float],
    scores: Tensor,
    bounds: tuple[float, float] | None = None,
) -> Interval:
    """`total(scores)`, and half of the width of its percentile interval when tasks are drawn anew with replacement.

    The draws depend on the number of tasks alone, so that two learners are drawn the same tasks (Efron and Tibshirani
    1993, chapter 13).

    Args:
        total: Of [tasks, ...] scores; called once for each draw.
        scores: [tasks, ...].
        bounds: The lowest and the highest total there can be, for tasks that are all alike, as in `interval`; None:
            unknown.

    Raises:
        InputError: There is no task.
    """
    tasks = len(scores)
    if tasks == 0:
        raise InputError("an interval needs at least one task")
    value = total(scores)
    if tasks == 1 or not math.isfinite(value):
        return Interval(value, float("nan"))
    if bounds is not None and bool((scores == scores[0]).all()):
        return Interval(value, unseen(value, tasks, bounds))
    totals = []
    for first in range(0, _RESAMPLES, _BLOCK):
        rows = random.bits(random.mix(_SEED, first), (min(_BLOCK, _RESAMPLES - first), tasks)) % tasks
        totals += [total(scores[row]) for row in rows]
    low, high = torch.tensor(totals, dtype=torch.float64).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    return Interval(value, ((high - low) / 2).item())
