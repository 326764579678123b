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
    tasks: tuple[int, ...]
    """Places of those of the labels."""
    answers: tuple[int, ...]
    """Places of the labels among the answers of each."""

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
        shares, found = self._shares(counts), []
        for one in self.series:
            known = shares[one.tasks]
            found.append(None if known is None else float(known[one.answers]))
        return found

    def ends(self, counts: Sequence[int]) -> list[tuple[float, float] | None]:
        """[series] 95% intervals of `adjusted`, of labels; None: of pairs, and where nothing is known."""
        drawn = [
            None if known is None else correction.ends(self._answers((t,), counts).tolist(), known)
            for t, known in enumerate(self._confusions)
        ]
        found: list[tuple[float, float] | None] = []
        for one in self.series:
            interval, k = drawn[one.tasks[0]] if len(one.tasks) == 1 else None, one.answers[0]
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
        tasks, answers = zip(*places, strict=True)
        return Series(labels, frozenset(cells.tolist()), tasks, answers)

    def _designed(self) -> list[list[Chart]]:
        sizes, total = [sum(counts) for counts in self.warm], np.sum(self.warm, axis=0)
        kinds = self._settings.charts
        # One of all charts is to be wrong so seldom, not each.
        length = self._settings.run_length * len(self.series) * len(kinds)
        shares, designed = self._shares(total), []
        for one, count in zip(self.series, self.counted(total), strict=True):
            base = _cautious(count, int(total.sum()))
            surge = odds_times(base, self._times(one, shares[one.tasks]))
            designed.append([Chart(design=charts.design(kind, base, surge, sizes, length)) for kind in kinds])
        return designed

    def _times(self, series: Series, shares: np.ndarray | None) -> float:
        """By how much the odds of its answers go up where those of the true label do as the settings say."""
        factor, rates = self._settings.surge, self._rates[series.tasks]
        if shares is None or rates is None or not 0 < (share := shares[series.answers]) < 1:
            return factor
        place = np.ravel_multi_index(series.answers, shares.shape)
        more = shares.ravel() * (1 - odds_times(share, factor)) / (1 - share)
        more[place] = odds_times(share, factor)
        before, after = (correction.expected(rates, one)[place] for one in (shares.ravel(), more))
        return max(_LEAST, after / (1 - after) * (1 - before) / before)

    @cached_property
    def _rates(self) -> dict[tuple[int, ...], np.ndarray | None]:
        """What each task answers to its classes, and both together; None: unknown."""
        one = {(t,): None if known is None else known.rates for t, known in enumerate(self._confusions)}
        if len(one) == 1:
            return one
        first, other = one.values()
        return one | {(0, 1): None if first is None or other is None else correction.both(first, other)}

    def _shares(self, counts: Sequence[int] | np.ndarray) -> dict[tuple[int, ...], np.ndarray | None]:
        """The most likely shares of the classes of each task, and of pairs; None: unknown."""
        found: dict[tuple[int, ...], np.ndarray | None] = {}
        for tasks, rates in self._rates.items():
            seen = self._answers(tasks, counts)
            found[tasks] = None if rates is None else correction.adjusted(seen.ravel(), rates).reshape(seen.shape)
        return found

    @property
    def _confusions(self) -> list[Confusion | None]:
        return [subject.confusion for subject in self._subjects]

    def _answers(self, tasks: tuple[int, ...], counts: Sequence[int] | np.ndarray) -> np.ndarray:
        """Counts of the answers of some tasks."""
        grid = np.asarray(counts).reshape([len(one.answers) for one in self._subjects])
        return grid.sum(tuple(t for t in range(grid.ndim) if t not in tasks))


def _cautious(count: int, of: int) -> float:
    """A usual rate, above 0 and below 1, that is higher than was seen by what chance explains."""
    share = (count + 0.5) / (of + 1)
    return min(share + _ERRORS * (share * (1 - share) / of) ** 0.5, 1 - 0.5 / (of + 1))
