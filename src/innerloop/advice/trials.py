"""Candidates on the same held-out episodes, with paired differences and what labels buy."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from innerloop.advice.candidates import Candidate
from innerloop.core.interval import Interval, Share
from innerloop.core.scores import Accuracy
from innerloop.evaluate import meta_test
from innerloop.evaluate.by_shots import ByShots
from innerloop.evaluate.result import spell
from innerloop.evaluate.shots import by_shots
from innerloop.tasks import EpisodeSampler
from innerloop.tasks.pool import from_rows

SCORE = Accuracy()
_MOST_WAYS, _MOST_QUERIES = 20, 10
_QUARTER = 4
_SHOTS = (1, 2, 5, 10, 20, 50)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which episodes."""

    ways: int
    shots: int
    queries: int
    episodes: int
    seed: int

    def __str__(self) -> str:
        each = f"{self.shots} labelled example{'s' * (self.shots > 1)} of each, {self.queries} asked"
        return f"{self.episodes} held-out episodes of {self.ways} classes, {each}"

    @property
    def steps(self) -> tuple[int, ...]:
        """Numbers of shots up to the plan's, for a curve."""
        return (*(k for k in _SHOTS if k < self.shots), self.shots)


def plan_for(counts: Tensor, episodes: int, seed: int, most_ways: int = _MOST_WAYS, shots: int | None = None) -> Plan:
    """Episodes that hold a quarter of the smallest class out, but no more than ten examples.

    Args:
        counts: [classes] examples of each, 2 or more.
        episodes: How many.
        seed: Of the draws.
        most_ways: Classes of an episode at most.
        shots: Labelled examples at most; None: all that are not held out.
    """
    fewest = int(counts.min())
    queries = min(max(1, fewest // _QUARTER), _MOST_QUERIES)
    most = fewest - queries
    return Plan(
        ways=min(len(counts), most_ways),
        shots=most if shots is None else min(most, shots),
        queries=queries,
        episodes=episodes,
        seed=seed,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """A candidate's scores."""

    candidate: Candidate
    scores: Tensor
    """[episodes, 1]."""
    asked: int
    """How many different examples were asked in all."""

    @property
    def accuracy(self) -> Interval:
        """Mean over episodes; its interval is no narrower than that of as many independent answers as examples."""
        one = SCORE.interval(self.scores)
        low, high = Share(round(one.mean * self.asked), self.asked).ends
        return Interval(one.mean, max(one.ci95, (high - low) / 2))

    def over(self, other: "Trial") -> Interval:
        """Paired difference, episode by episode."""
        return SCORE.difference(self.scores, other.scores)

    def better(self, other: "Trial") -> bool:
        """Whether it is above another by the whole paired interval."""
        gap = self.over(other)
        return gap.mean - gap.ci95 > 0

    def to_json(self, best: "Trial") -> dict[str, Any]:
        """Plain JSON values, with the difference to the best."""
        mean, ci95 = self.accuracy
        about: dict[str, Any] = {"name": self.candidate.name, "family": self.candidate.family}
        about |= {"mean": mean, "ci95": ci95}
        gap = None if self is best else self.over(best)._asdict()
        return about | {"difference": gap}


def tried(candidates: Sequence[Candidate], labels: Tensor, names: Sequence[str], plan: Plan) -> list[Trial]:
    """Score candidates on the same episodes.

    Args:
        candidates: Whose rows are of the same examples.
        labels: [n] int64 of these.
        names: Of the classes.
        plan: Which episodes.
    """
    trials = []
    for whole in candidates:
        one = compact(whole)
        result = meta_test(one.learner, one.params, sampler(one, labels, names, plan), plan.episodes, quiet=True)
        trials.append(Trial(candidate=whole, scores=result.scores, asked=_asked(labels, plan)))
    return trials


def curve(one: Candidate, labels: Tensor, names: Sequence[str], plan: Plan) -> ByShots:
    """What labels buy with a candidate."""
    one = compact(one)
    tasks = sampler(one, labels, names, plan)
    return by_shots(one.learner, one.params, tasks, plan.steps, plan.episodes).by_shots


def sampler(one: Candidate, labels: Tensor, names: Sequence[str], plan: Plan) -> EpisodeSampler:
    """The plan's episodes of a candidate's rows: the same examples for all of them."""
    pool = from_rows(one.rows, labels.tolist(), names, dataset="data", split="all")
    return EpisodeSampler(pool=pool, ways=plan.ways, shots=plan.shots, queries=plan.queries, seed=plan.seed)


def compact(one: Candidate) -> Candidate:
    """The same with rows in the space that they span, where logistic regression comes to the same in less time."""
    x = one.rows
    if one.head != "linear" or x.ndim != 2 or len(x) >= x.shape[1]:
        return one
    basis, _ = torch.linalg.qr(x.double().T)  # [d, n]
    return replace(one, rows=(x.double() @ basis).to(x.dtype))


def best_of(trials: Sequence[Trial]) -> Trial:
    """The simplest of those that none is above by the paired interval; simple is what stands first."""
    top = max(trials, key=lambda trial: trial.accuracy.mean)
    return next(trial for trial in trials if trial is top or not top.better(trial))


def table(trials: Sequence[Trial], best: Trial) -> list[list[str]]:
    """Header and rows, the most accurate first."""
    order = sorted(trials, key=lambda trial: -trial.accuracy.mean)
    rows = [["what", "accuracy", f"against {best.candidate.name}"]]
    for trial in order:
        gap = "" if trial is best else spell(*trial.over(best), SCORE, True)
        rows.append([trial.candidate.name, spell(*trial.accuracy, SCORE), gap])
    return rows


def _asked(labels: Tensor, plan: Plan) -> int:
    """Different examples that may be asked, as far as the episodes reach."""
    return min(len(labels), plan.episodes * plan.ways * plan.queries)
