"""Charts of how often something is said: CUSUM (Page 1954) and EWMA (Roberts 1959) of counts, for rises.

Both are `s <- max(0, decay * s + step)`, of windows with `count` of `size` events. They look for rises alone: what one
label loses others gain. The base rate comes from the first windows, the limit from how often a chart may be wrong.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from innerloop.apps.text.watch.run_length import Steps, counts, limit_for, representative

Kind = Literal["cusum", "ewma"]
KINDS: tuple[Kind, ...] = ("cusum", "ewma")
WEIGHT = 0.2
"""Share that the newest window has in an EWMA."""
CALM = 0.5
"""An alert lasts until its chart is below this share of the limit: one that wavers about the limit alerts once."""
_CAP = 2.0
"""No chart goes beyond so many times its limit: once all is as before, it comes down in as many windows as it took."""
_LIMITS = {"cusum": (1.0, 60.0), "ewma": (1.0, 40.0)}
"""The lowest and the highest there are: log-likelihood ratios, and standard deviations of an EWMA. By chance nobody
reaches the highest: a CUSUM takes some `2 e^60` windows. Where windows are so large that the usual rate never comes
near to the lowest, runs are longer than was asked for."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """What a chart is compared with; made once, of the windows of the warm-up."""

    kind: Kind
    base: float
    """The usual rate of what is counted."""
    surge: float
    """The rate that is looked for."""
    limit: float

    @property
    def decay(self) -> float:
        """What stays of the chart from one window to the next."""
        return 1.0 if self.kind == "cusum" else 1 - WEIGHT

    def step(self, count: float | np.ndarray, size: int) -> Any:
        """What a window adds: the log-likelihood ratio of surge to base, or deviations from the base."""
        if self.kind == "cusum":
            more = math.log(self.surge / self.base)
            return count * more + (size - count) * math.log((1 - self.surge) / (1 - self.base))
        return WEIGHT * (count - size * self.base) / math.sqrt(size * self.base * (1 - self.base))

    def steps(self, sizes: Sequence[int], rate: float) -> Steps:
        """Its steps at a true rate of what is counted, for windows of any of these sizes, equally often."""
        values, chances = [], []
        for size in sizes:
            x, chance = counts(size, rate)
            values.append(self.step(x, size))
            chances.append(chance / len(sizes))
        return Steps(np.concatenate(values), np.concatenate(chances))


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Where a chart stands; never changed, only replaced."""

    design: Design
    value: float = 0.0
    on: bool = False
    """Whether it alerts."""
    rose: int | None = None
    """The window, by its start, in which it last left 0; None: it is there."""

    def after(self, count: int, size: int, start: int) -> "Chart":
        """The chart with a window more.

        Args:
            count: Of its events, those that are counted.
            size: Its events, at least 1.
            start: Of the window.
        """
        design = self.design
        value = max(0.0, design.decay * self.value + float(design.step(count, size)))
        value = min(value, _CAP * design.limit)
        on = value >= design.limit or (self.on and value > CALM * design.limit)
        return Chart(
            design=design, value=value, on=on, rose=None if value == 0 else start if self.rose is None else self.rose
        )

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "Chart":
        """The chart that was kept."""
        return cls(**{**kept, "design": Design(**kept["design"])})


def design(kind: Kind, base: float, surge: float, sizes: Sequence[int], length: float) -> Design:
    """A chart that is wrong once in so many windows on average, where the rate is the base.

    Args:
        kind: Which.
        base: The usual rate of what is counted, above 0.
        surge: The rate that is looked for, above the base and below 1.
        sizes: Events of the windows that were seen, each at least 1.
        length: Windows.
    """
    free = Design(kind=kind, base=base, surge=surge, limit=math.inf)
    unit = 1.0 if kind == "cusum" else math.sqrt(WEIGHT / (2 - WEIGHT))
    least, most = (unit * limit for limit in _LIMITS[kind])
    steps = free.steps(representative(sizes), base)
    return replace(free, limit=limit_for(free.decay, steps, length, least, most))


def odds_times(rate: float, factor: float) -> float:
    """The rate whose odds are so many times as high."""
    return factor * rate / (1 - rate + factor * rate)
