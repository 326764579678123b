"""Trainings that differ in their seed alone, as one row: what the tasks leave open, and what the seeds do."""

import statistics
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from innerloop.core.interval import Interval, between
from innerloop.core.scores import Score
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
            | {"difference_ci95_over_seeds": self.over_seeds}
        )


def grouped(
    results: Sequence[Result], keys: Sequence[Hashable], names: Sequence[str], seeds: Sequence[int | None]
) -> tuple[Group, ...]:
    """Groups of results of one protocol, in the order of the first of each.

    Args:
        results: On the same episodes.
        keys: Equal where results differ in the seed of their training alone.
        names: Of the group that each is in.
        seeds: Of the training of each.
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
        groups.append(Group(names[rows[0]], mine, own, score.interval_of_mean(scores), gap, over))
    return tuple(groups)


def _over_seeds(ones: Sequence[float], others: Sequence[float]) -> float | None:
    return between(ones, others).ci95 if min(len(ones), len(others)) > 1 else None
