"""Every label, and pair of labels, that is watched: its usual share, its charts, and what a window does to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from innerloop.apps.text.watch import charts, correction
from innerloop.apps.text.watch.charts import Chart, odds_times
from innerloop.apps.text.watch.correction import Confusion
from innerloop.apps.text.watch.settings import Settings
from innerloop.apps.text.watch.tasks import Subject
from innerloop.core.interval import Share

_ERRORS = 1.0
"""Standard errors by which a usual rate is taken to be higher than was seen: one that is low by chance would alert."""
_LEAST = 1.1
"""Times by which the odds of answers go up in a surge at least, whatever a classifier confuses."""


@dataclass(frozen=True, eq=False)
class Series:
    """One label, or a pair of one of each task."""

    labels: dict[str, str]
    """By task."""
    cells: frozenset[int]
    """Those that are counted."""
    places: Sequence[tuple[int, int]]
    """Task and answer, for each label."""

    def __str__(self) -> str:
        return " × ".join(self.labels.values())


@dataclass(frozen=True, kw_only=True)
class Change:
    """A series whose first chart began to alert, or whose last one ceased."""

    series: int
    charts: tuple[Chart, ...]
    """Those that began, or that ceased."""
    began: bool


class Board:
    """The charts of all series. What it becomes depends on the windows that were closed, in their order, alone."""

    def __init__(self, subjects: Sequence[Subject], settings: Settings):
        self._subjects, self._settings = subjects, settings
        self.warm: list[list[int]] = []
        """Counts of the windows that the base rates come from."""
        self.charts: list[list[Chart]] = []
        """Those of every series; none before the warm-up is over."""

    @cached_property
    def series(self) -> list[Series]:
        """Labels of the first task, of the second, then pairs."""
        sizes = [len(one.answers) for one in self._subjects]
        grid = np.arange(np.prod(sizes)).reshape(sizes)
        found = [
            self._series(np.take(grid, k, axis=t).ravel(), (t, k)) for t, size in enumerate(sizes) for k in range(size)
        ]
        if len(sizes) > 1:
            found += [
                self._series(grid[i, k : k + 1], (0, i), (1, k)) for i in range(sizes[0]) for k in range(sizes[1])
            ]
        return found

    @property
    def cells(self) -> int:
        """How many kinds of events are counted apart."""
        return int(np.prod([len(one.answers) for one in self._subjects]))

    @property
    def warming(self) -> bool:
        """Whether base rates are still being estimated."""
        return not self.charts

    @cached_property
    def _members(self) -> np.ndarray:
        """[series, cells] whether an event of a cell belongs to a series."""
        members = np.zeros((len(self.series), self.cells), dtype=np.int64)
        for i, one in enumerate(self.series):
            members[i, list(one.cells)] = 1
        return members

    def counted(self, counts: Sequence[int] | np.ndarray) -> list[int]:
        """[series] counts of what every series counts."""
        return (self._members @ np.asarray(counts)).tolist()

    def close(self, start: int, counts: Sequence[int]) -> list[Change]:
        """Take a window that is over, with at least one event; what it changes.

        Args:
            start: Of the window.
            counts: [cells].
        """
        if self.warming:
            self.warm.append(list(counts))
            if len(self.warm) >= self._settings.warmup:
                self.charts = self._designed()
            return []
        size, changes = sum(counts), []
        for i, count in enumerate(self.counted(counts)):
            before = self.charts[i]
            self.charts[i] = after = [chart.after(count, size, start) for chart in before]
            began = any(chart.on for chart in after)
            if began != any(chart.on for chart in before):
                moved = tuple(new for old, new in zip(before, after, strict=True) if old.on != new.on)
                changes.append(Change(series=i, charts=moved, began=began))
        return changes

    def adjusted(self, counts: Sequence[int]) -> list[float | None]:
        """[series] shares with the classifiers' errors taken out; None: nothing is known of these."""
        shares = [self._of_task(t, counts) for t in range(len(self._subjects))]
        joint = self._of_pairs(counts) if len(self._subjects) > 1 else None
        found: list[float | None] = []
        for one in self.series:
            if len(one.places) > 1:
                found.append(None if joint is None else float(joint[tuple(k for _, k in one.places)]))
                continue
            t, k = one.places[0]
            task = shares[t]
            found.append(None if task is None else float(task[k]))
        return found

    def ends(self, counts: Sequence[int]) -> list[tuple[float, float] | None]:
        """[series] 95% intervals of `adjusted`, of labels; None: of pairs, and where nothing is known."""
        drawn = []
        for t, subject in enumerate(self._subjects):
            drawn.append(
                None if subject.confusion is None else correction.ends(self._answers(t, counts), subject.confusion)
            )
        found: list[tuple[float, float] | None] = []
        for one in self.series:
            t, k = one.places[0]
            interval = drawn[t] if len(one.places) == 1 else None
            found.append(None if interval is None else (float(interval[0, k]), float(interval[1, k])))
        return found

    @property
    def usual(self) -> list[Share]:
        """[series] shares in the warm-up, as they were answered."""
        total = np.sum(self.warm, axis=0) if self.warm else np.zeros(self.cells, dtype=np.int64)
        return [Share(count, int(total.sum())) for count in self.counted(total)]

    def to_json(self) -> dict[str, Any]:
        """What `restore` reads."""
        return {"warm": self.warm, "charts": [[chart.to_json() for chart in some] for some in self.charts]}

    def restore(self, kept: dict[str, Any]) -> None:
        """Go on from what was kept."""
        self.warm = kept["warm"]
        self.charts = [[Chart.from_json(chart) for chart in some] for some in kept["charts"]]

    def _series(self, cells: np.ndarray, *places: tuple[int, int]) -> Series:
        labels = {self._subjects[t].name: self._subjects[t].answers[k] for t, k in places}
        return Series(labels, frozenset(cells.tolist()), places)

    def _designed(self) -> list[list[Chart]]:
        sizes, total = [sum(counts) for counts in self.warm], np.sum(self.warm, axis=0)
        kinds = self._settings.charts
        # One of all charts is to be wrong so seldom, not each.
        length = self._settings.run_length * len(self.series) * len(kinds)
        adjusted, designed = self.adjusted(total), []
        for one, share, count in zip(self.series, adjusted, self.counted(total), strict=True):
            base = _cautious(count, int(total.sum()))
            surge = odds_times(base, self._times(one, share, total))
            designed.append([Chart(design=charts.design(kind, base, surge, sizes, length)) for kind in kinds])
        return designed

    def _times(self, series: Series, share: float | None, total: np.ndarray) -> float:
        """By how much the odds of its answers go up where those of the true label do as the settings say."""
        factor = self._settings.surge
        rates = _together([self._subjects[t].confusion for t, _ in series.places])
        if share is None or rates is None or not 0 < share < 1:
            return factor
        shares = self._of_pairs(total) if len(series.places) > 1 else self._of_task(series.places[0][0], total)
        assert shares is not None
        place = np.ravel_multi_index(tuple(k for _, k in series.places), shares.shape)
        shares = shares.ravel()
        more = shares * (1 - odds_times(share, factor)) / (1 - share)
        more[place] = odds_times(share, factor)
        before, after = (correction.expected(rates, one)[place] for one in (shares, more))
        return max(_LEAST, after / (1 - after) * (1 - before) / before)

    def _answers(self, task: int, counts: Sequence[int] | np.ndarray) -> list[int]:
        grid = np.asarray(counts).reshape([len(one.answers) for one in self._subjects])
        return grid.sum(tuple(t for t in range(grid.ndim) if t != task)).tolist()

    def _of_task(self, task: int, counts: Sequence[int] | np.ndarray) -> np.ndarray | None:
        confusion = self._subjects[task].confusion
        return None if confusion is None else correction.adjusted(self._answers(task, counts), confusion.rates)

    def _of_pairs(self, counts: Sequence[int] | np.ndarray) -> np.ndarray | None:
        rates = _together([one.confusion for one in self._subjects])
        if rates is None:
            return None
        return correction.adjusted(counts, rates).reshape([len(one.answers) for one in self._subjects])


def _together(confusions: Sequence[Confusion | None]) -> np.ndarray | None:
    rates = None
    for one in confusions:
        if one is None:
            return None
        rates = one.rates if rates is None else correction.both(rates, one.rates)
    return rates


def _cautious(count: int, of: int) -> float:
    """A usual rate, above 0 and below 1, that is higher than was seen by what chance explains."""
    share = (count + 0.5) / (of + 1)
    return min(share + _ERRORS * (share * (1 - share) / of) ** 0.5, 1 - 0.5 / (of + 1))
