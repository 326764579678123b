"""Whether differences are more than luck: p-values of few trainings, and Holm's correction of several comparisons."""

import math
from collections.abc import Sequence

import torch

from innerloop.core import interval
from innerloop.core.interval import Z95, Interval

_PARTS = 4096


def of_interval(gap: Interval) -> float:
    """The two-sided p-value of a difference whose 95% interval is that of a normal distribution; 1 of one task."""
    if math.isnan(gap.ci95):
        return 1.0
    if gap.ci95 == 0:
        return 1.0 if gap.mean == 0 else 0.0
    return math.erfc(abs(gap.mean) / (gap.ci95 / Z95) / math.sqrt(2))


def welch(ones: Sequence[float], others: Sequence[float]) -> float:
    """The two-sided p-value of Welch's test (Biometrika 34, 1947) that two kinds of trainings have the same mean.

    Args:
        ones: A number of every training of one kind.
        others: Of another kind; of either at least two.

    Raises:
        InputError: There is a single one, which says nothing about the spread.
    """
    gap = interval.welch(ones, others)
    if gap.error == 0:
        return 1.0 if gap.mean == 0 else 0.0
    return student(gap.mean / gap.error, gap.freedom)


def student(t: float, freedom: float) -> float:
    """The probability that Student's t with so many degrees of freedom, 1 or more, is further from 0 than this.

    With t = sqrt(v) tan(a) its density is that of cos(a)^(v - 1), which Simpson's rule integrates to 1e-9.
    """
    edge = math.atan(abs(t) / math.sqrt(freedom))

    def area(low: float, high: float) -> float:
        angles = torch.linspace(low, high, _PARTS + 1, dtype=torch.float64)
        values = angles.cos().clamp_min(0) ** (freedom - 1)
        weights = torch.full_like(values, 2.0)
        weights[1::2] = 4.0
        weights[0] = weights[-1] = 1.0
        return float((weights * values).sum()) * (high - low) / _PARTS / 3

    return min(1.0, area(edge, math.pi / 2) / area(0.0, math.pi / 2))


def holm(values: Sequence[float]) -> list[float]:
    """P-values of several comparisons, so that all that are below 5% are right together with 95% (Holm 1979).

    The smallest is multiplied by their number, the next by one less, and none becomes smaller than the one before it.

    Args:
        values: P-values in any order.
    """
    adjusted, least = [1.0] * len(values), 0.0
    for rank, i in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        least = max(least, min(1.0, (len(values) - rank) * values[i]))
        adjusted[i] = least
    return adjusted
