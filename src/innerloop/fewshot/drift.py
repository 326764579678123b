"""Whether a task in use still answers what it was taught: feedback to its answers, and how far what is asked lies.

Two one-sided CUSUM charts of log-likelihood ratios (Page 1954, https://doi.org/10.1093/biomet/41.1-2.100), whose
reference is what came before the chart was last at 0, where a drift would have begun: a Bernoulli one of answers that
were wrong, and a normal one of log distances (`fewshot.gaussians`). Each is ten numbers however long a task is in use.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

THRESHOLD = 10.0
"""Where a chart says drift. Normal values of a known mean reach it once in 141,000 on average: `2 (e^b - b - 1)`
with b = 10 + 1.166 (Siegmund 1985). Where the mean is learned from the stream, fewer than 1% of streams of 1,000 values
without drift do (`python -m benchmarks.months`)."""
FIRST = 50
"""Values that are only learned from."""
_MOST = 2 * THRESHOLD
"""No chart goes beyond: once all is well again, it comes down in as many steps as it took."""
_MEMORY = 1_000
"""Values that the reference is about; also after so many of a drift, what they say is what is usual."""
_RECENT = 50
"""Values that `recent` is about."""
_ERRORS = 1.5
"""Standard errors by which the reference is taken to be worse than was seen: one that is good by chance would make an
alarm of what is usual."""
_ODDS = 5.0
"""How many times the odds of a wrong answer go up in the drift that is looked for."""
_SHIFT = 1.0
"""Standard deviations by which distances go up in it."""
_OUTLIER = 3.0
"""Standard deviations that one value counts as at most."""
_LEAST = 0.01
"""Share of right answers, and standard deviation of distances, that is expected at least."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What is known of one stream of values."""

    count: int = 0
    """Values so far."""
    known: int = 0
    """How many the reference is about, a thousand at most."""
    mean: float = 0.0
    """The reference: what is usual."""
    variance: float = 0.0
    waiting: int = 0
    """Values since the chart was last at 0, where a drift would have begun: they may belong to it."""
    sum: float = 0.0
    """Their sum."""
    squares: float = 0.0
    recent: float = 0.0
    """The mean of the last fifty, older ones counting less and less."""
    cusum: float = 0.0
    since: str | None = None
    """When it rose above the threshold, UTC, ISO 8601; None: it is below."""

    @property
    def drifting(self) -> bool:
        """Whether the chart is above its threshold."""
        return self.cusum >= THRESHOLD

    @property
    def since_then(self) -> float:
        """The mean since the chart was last at 0: of the drift, where there is one."""
        return self.sum / self.waiting if self.waiting else self.recent

    def step(self, value: float, ratio: float) -> "Chart":
        """The chart with a value more, and its log-likelihood ratio of drift to none by the reference."""
        count = self.count + 1
        cusum = 0.0 if count <= FIRST else min(max(self.cusum + ratio, 0.0), _MOST)
        chart = replace(
            self,
            count=count,
            waiting=self.waiting + 1,
            sum=self.sum + value,
            squares=self.squares + value * value,
            recent=self.recent + (value - self.recent) / min(count, _RECENT),
            cusum=cusum,
            since=(self.since or _now()) if cusum >= THRESHOLD else None,
        )
        return chart._learned() if cusum == 0 or chart.waiting >= _MEMORY else chart

    def _learned(self) -> "Chart":
        """The chart whose reference has what waited as well."""
        known = self.known + self.waiting
        weight, mean = self.waiting / known, self.sum / self.waiting
        off, variance = mean - self.mean, max(self.squares / self.waiting - mean * mean, 0.0)
        return replace(
            self,
            known=min(known, _MEMORY),
            mean=self.mean + weight * off,
            variance=(1 - weight) * (self.variance + weight * off * off) + weight * variance,
            waiting=0,
            sum=0.0,
            squares=0.0,
        )


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Both charts of a task; never changed, only replaced."""

    wrong: Chart = field(default_factory=Chart)
    """1 for an answer that was corrected, 0 for one that was confirmed."""
    far: Chart = field(default_factory=Chart)
    """Mean log squared distance of the rows of a request to the nearest class."""

    def answered(self, right: bool) -> "Drift":
        """With the feedback to one answer."""
        chart = self.wrong
        share = (chart.known * chart.mean + 1) / (chart.known + 2)
        share = min(share + _ERRORS * math.sqrt(share * (1 - share) / max(chart.known, 1)), 1 - _LEAST)
        more = _ODDS * share / (1 - share + _ODDS * share)
        ratio = math.log((1 - more) / (1 - share)) if right else math.log(more / share)
        return replace(self, wrong=chart.step(float(not right), ratio))

    def asked(self, distance: float) -> "Drift":
        """With the mean log squared distance of one request."""
        chart = self.far
        deviation = max(math.sqrt(chart.variance), _LEAST)
        usual = chart.mean + _ERRORS * deviation / math.sqrt(max(chart.known, 1))
        apart = min(max((distance - usual) / deviation, -_OUTLIER), _OUTLIER)
        return replace(self, far=chart.step(distance, _SHIFT * apart - _SHIFT**2 / 2))

    @property
    def reason(self) -> str | None:
        """What has changed, and what to do, in a sentence; None: nothing that is told from chance."""
        said = []
        if self.wrong.drifting:
            now, before = (f"{100 * (1 - share):.0f}%" for share in (self.wrong.since_then, self.wrong.mean))
            said.append(f"{now} of the last {self.wrong.waiting} answers with feedback were right, and {before} before")
        if self.far.drifting:
            times = _root(self.far.since_then) / _root(self.far.mean)
            said.append(f"what is asked lies {times:.2g} times as far from the classes as before")
        if not said:
            return None
        return f"{', and '.join(said)}: look at what comes in, and teach examples of it"

    def told(self) -> dict[str, Any]:
        """What is said of it, in plain JSON: in Python, on the command line, over HTTP and on the page."""
        return {
            "drift": self.wrong.drifting or self.far.drifting,
            "reason": self.reason,
            "accuracy": _said(self.wrong, lambda share: 1 - share),
            "distance": _said(self.far, _root),
        }

    def to_json(self) -> str:
        """What a file and a store keep."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | None) -> "Drift":
        """What `to_json` made; None: nothing was noted yet.

        Raises:
            ValueError, TypeError, KeyError: It is something else.
        """
        if text is None:
            return cls()
        content = json.loads(text)
        return cls(wrong=_chart(content["wrong"]), far=_chart(content["far"]))


def _chart(content: dict[str, Any]) -> Chart:
    chart = Chart(**content)
    whole = (chart.count, chart.known, chart.waiting)
    numbers = (chart.mean, chart.variance, chart.sum, chart.squares, chart.recent, chart.cusum)
    if not all(type(n) is int and n >= 0 for n in whole) or not all(math.isfinite(float(n)) for n in numbers):
        raise ValueError("its charts of drift have no numbers")
    if chart.since is not None and not isinstance(chart.since, str):
        raise TypeError("its charts of drift have no time")
    return chart


def _said(chart: Chart, unit: Callable[[float], float]) -> dict[str, Any]:
    """How many values there were, the mean of the last ones and of those before, and how the chart stands."""
    return {
        "count": chart.count,
        "recent": unit(chart.recent) if chart.count else None,
        "usual": unit(chart.mean) if chart.count else None,
        "drift": chart.drifting,
        "since": chart.since,
        "cusum": chart.cusum,
        "threshold": THRESHOLD,
    }


def _root(square: float) -> float:
    """A distance of its log square."""
    return math.exp(square / 2)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
