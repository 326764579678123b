"""Trainings that differ in their seed alone, as one row: what the tasks leave open, and what the seeds do."""

import statistics
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from innerloop.core.interval import Interval, between
from innerloop.core.scores import Score
from innerloop.evaluate import significance
from innerloop.evaluate.result import Result, finite, spell


class Group(NamedTuple):
    """Results of one or more trainings on the same episodes."""

    name: str
    results: tuple[Result, ...]
    seeds: tuple[int | None, ...]
    """Seeds of their trainings, where they are known."""
    tasks: Interval
    """Mean over the trainings, and its 95% interval over tasks: for these trainings, on other tasks."""
    difference: Interval | None
    """To the first group, paired task by task: for these trainings, on other tasks; None for the first itself."""
    over_seeds: float | None = None
    """Half of the 95% interval of the same difference over other seeds; None where either has one seed."""
    p: float | None = None
    """Probability of such a difference by luck, over tasks or over seeds, whichever is larger; None for the first."""
    p_holm: float | None = None
    """The same, corrected for the number of groups that are compared with the first (Holm)."""
    runs: tuple[Path, ...] = ()
    """Folders of the trainings, where they are known."""

    @property
    def means(self) -> list[float]:
        """The mean of every training."""
        return [result.mean for result in self.results]

    @property
    def spread(self) -> float | None:
        """Standard deviation between trainings; None of one."""
        return statistics.stdev(self.means) if len(self.results) > 1 else None

    @property
    def score(self) -> Score:
        """What was measured."""
        return self.results[0].protocol.score

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """Name, number of trainings, mean, spread, difference, as tables print them."""
        gap = "" if self.difference is None else spell(*self.difference, self.score, True)
        gap += "" if self.over_seeds is None else f", ± {self.score.factor * self.over_seeds:.3g} over seeds"
        return self.name, str(len(self.results)), spell(*self.tasks, self.score), self._between(), gap

    def _between(self) -> str:
        if self.spread is None:
            return "–"
        numbers = [self.score.factor * value for value in (self.spread, min(self.means), max(self.means))]
        spread, low, high = (f"{value:.1f}" if self.score.percent else f"{value:.3g}" for value in numbers)
        return f"{spread} points ({low} to {high})" if self.score.percent else f"{spread} ({low} to {high})"

    @property
    def verdict(self) -> str:
        """The corrected p-value, and a star where it is below 5%, as tables print them."""
        if self.p_holm is None:
            return ""
        value = "< 0.001" if self.p_holm < 0.001 else f"{self.p_holm:.3f}"
        return f"{value}{' *' * (self.p_holm < 0.05)}"

    def alike(self, other: "Group") -> bool:
        """Whether 95% intervals, over tasks and over seeds where there are several, do not tell it from another."""
        gap = self.score.difference_of_means([r.scores for r in self.results], [r.scores for r in other.results])
        return abs(gap.mean) <= max(gap.ci95, _over_seeds(self.means, other.means) or 0.0)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        gap = None if self.difference is None else {k: finite(v) for k, v in self.difference._asdict().items()}
        about: dict[str, Any] = {"name": self.name, "runs": [r.learner for r in self.results], "seeds": self.seeds}
        about |= {"mean": finite(self.tasks.mean), "ci95": finite(self.tasks.ci95), "spread": self.spread}
        return (
            about
            | {"lowest": finite(min(self.means)), "highest": finite(max(self.means)), "difference": gap}
            | {"difference_ci95_over_seeds": self.over_seeds, "p": self.p, "p_holm": self.p_holm}
        )


def grouped(
    results: Sequence[Result],
    keys: Sequence[Hashable],
    names: Sequence[str],
    seeds: Sequence[int | None],
    runs: Sequence[Path | None] = (),
) -> tuple[Group, ...]:
    """Groups of results of one protocol, in the order of the first of each.

    Args:
        results: On the same episodes.
        keys: Equal where results differ in the seed of their training alone.
        names: Of the group that each is in.
        seeds: Of the training of each.
        runs: Folder of each, where it is a run of its own.
    """
    members: dict[Hashable, list[int]] = {}
    for i, key in enumerate(keys):
        members.setdefault(key, []).append(i)
    groups: list[Group] = []
    for rows in members.values():
        mine = tuple(results[i] for i in rows)
        score, scores = mine[0].protocol.score, [result.scores for result in mine]
        gap = score.difference_of_means(scores, [r.scores for r in groups[0].results]) if groups else None
        own = tuple(seeds[i] for i in rows)
        over = _over_seeds([result.mean for result in mine], groups[0].means) if groups else None
        p = None if gap is None else _luck(gap, [result.mean for result in mine], groups[0].means)
        folders = tuple(run for i in rows if runs and (run := runs[i]) is not None)
        total = score.interval_of_mean(scores)
        groups.append(Group(names[rows[0]], mine, own, total, gap, over, p, None, folders))
    corrected = significance.holm([group.p for group in groups if group.p is not None])
    return (*groups[:1], *(group._replace(p_holm=p) for group, p in zip(groups[1:], corrected, strict=True)))


def _luck(gap: Interval, ones: Sequence[float], others: Sequence[float]) -> float:
    of_tasks = significance.of_interval(gap)
    return max(of_tasks, significance.welch(ones, others)) if min(len(ones), len(others)) > 1 else of_tasks


def _over_seeds(ones: Sequence[float], others: Sequence[float]) -> float | None:
    return between(ones, others).ci95 if min(len(ones), len(others)) > 1 else None
