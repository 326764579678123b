"""How good a predictive is, beyond its mean: likelihood, calibration, intervals, and where its uncertainty comes from.

Scores are means over the rows that count, in float64. Brier, Monthly Weather Review, 1950; mutual information between
an answer and the member that gives it: Houlsby et al., 2011, https://arxiv.org/abs/1112.5745.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from innerloop.core import fits, objectives, random, tree
from innerloop.core.errors import FailedError, InputError
from innerloop.core.interval import SHARES, Z95, Interval, interval
from innerloop.core.learner import Learner
from innerloop.core.predictive import Predictive, check_predictive, log_likelihood, log_probabilities
from innerloop.core.scores import of_sampler
from innerloop.core.types import Batch, Params, Sampler
from innerloop.evaluate.temperature import calibration_gaps, expected_calibration_error

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Levels of the intervals whose coverage and width are told."""
_CHUNK, _RESAMPLES, _HALVINGS = 16, 200, 50


def probabilities(predictive: Predictive, classes: Tensor | None = None) -> Tensor:
    """[m, n, ways] of every member; 0 for classes that the task does not have.

    Args:
        predictive: Of classes.
        classes: [ways] bool, which exist; None: all.
    """
    return log_probabilities(predictive, classes).exp()


def nll(predictive: Predictive, y: Tensor, mask: Tensor | None = None, classes: Tensor | None = None) -> Tensor:
    """Negative log-likelihood of the mixture, in nats; of targets [n, d] jointly, whose noise is independent.

    Args:
        predictive: Of the n rows.
        y: [n] classes, or [n, d] targets.
        mask: [n] bool, which rows are real; None: all. Rows with a negative class do not count either.
        classes: [ways] bool, which classes exist; None: all.

    Raises:
        InputError: Targets without a std: members without noise have no density.
    """
    return -_mean(log_likelihood(predictive, y, classes), y, mask)


def brier(predictive: Predictive, y: Tensor, mask: Tensor | None = None, classes: Tensor | None = None) -> Tensor:
    """Sum over the classes of the squared error of a probability, from 0 to 2 (scikit-learn's for two classes: half).

    Arguments as of `nll`.
    """
    p = probabilities(predictive, classes).mean(0)
    return _mean((p - objectives.membership(y, p.shape[-1], mask, p.dtype)).square().sum(-1), y, mask)


def ece(predictive: Predictive, y: Tensor, mask: Tensor | None = None, classes: Tensor | None = None) -> float:
    """Expected calibration error of the mixture; see `evaluate.calibration`. Few rows make it too large.

    Arguments as of `nll`.

    Raises:
        InputError: No row counts.
    """
    return expected_calibration_error(*_answers(predictive, y, mask, classes))


def entropy(predictive: Predictive, y: Tensor, mask: Tensor | None = None, classes: Tensor | None = None) -> Tensor:
    """Entropy of the mixture's classes, in nats: how unsure it is, for whatever reason. Arguments as of `nll`."""
    return _mean(torch.special.entr(probabilities(predictive, classes).mean(0)).sum(-1), y, mask)


def mutual_information(
    predictive: Predictive, y: Tensor, mask: Tensor | None = None, classes: Tensor | None = None
) -> Tensor:
    """The entropy that comes from members that disagree, in nats: what more support could remove.

    It is 0 for one member, and at most log m. Arguments as of `nll`.
    """
    p = probabilities(predictive, classes)
    each = torch.special.entr(p).sum(-1).mean(0)
    return _mean((torch.special.entr(p.mean(0)).sum(-1) - each).clamp_min(0), y, mask)


def bounds(predictive: Predictive, level: float) -> tuple[Tensor, Tensor]:
    """[n, d] ends of the interval that leaves as much of the mixture below as above, found by halving.

    Without a std, they are quantiles of the members, linear between two of them.

    Args:
        predictive: Of targets.
        level: How much of the mixture lies inside, above 0 and below 1.

    Raises:
        InputError: The level is no such share.
    """
    if not 0 < level < 1:
        raise InputError(f"the level of an interval is above 0 and below 1, such as 0.9; got {level}")
    low, high = _quantiles(predictive, [(1 - level) / 2, (1 + level) / 2])
    return low, high


def coverage(predictive: Predictive, y: Tensor, mask: Tensor | None = None, level: float = 0.9) -> Tensor:
    """Share of the targets inside the interval of this level, over all of their entries; arguments as of `nll`."""
    return _inside(*bounds(predictive, level), y, mask)


def width(predictive: Predictive, y: Tensor, mask: Tensor | None = None, level: float = 0.9) -> Tensor:
    """Mean width of the interval of this level, in units of the targets; arguments as of `nll`."""
    return _between(*bounds(predictive, level), y, mask)


def deviation(predictive: Predictive, y: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean standard deviation of the mixture, how sharp it is, in units of the targets; arguments as of `nll`."""
    mean = predictive.outputs.double()
    variance = mean.var(0, correction=0)
    if predictive.std is not None:
        variance = variance + predictive.std.double().square().mean(0)
    return _mean(variance.sqrt().flatten(1).mean(-1), y, mask)


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictiveResult:
    """Scores of a learner's predictive on the episodes of a sampler."""

    learner: str
    sampler: dict[str, object]
    """What was sampled; see `Sampler.describe`."""
    normalisation: str
    """inductive or transductive."""
    members: int
    scores: Mapping[str, Tensor]
    """By name, [episodes] float64. Classes: nll, brier, entropy, mutual_information. Targets: coverage_90 and width_90,
    as of every level, deviation, and nll where there is a std."""
    ece: Interval | None = None
    """Over the queries of all episodes, its interval from episodes drawn again; None for targets."""

    @property
    def intervals(self) -> dict[str, Interval]:
        """Intervals of every score, over episodes."""
        intervals = {name: interval(values, bounds_of(name)) for name, values in self.scores.items()}
        return intervals if self.ece is None else intervals | {"ece": self.ece}

    def __str__(self) -> str:
        count = len(next(iter(self.scores.values())))
        values = ", ".join(f"{name} {mean:.4g} ± {ci95:.2g}" for name, (mean, ci95) in self.intervals.items())
        return f"{self.learner}, {self.members} members: {values} ({count} episodes, {self.normalisation})"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, the scores of every episode among them."""
        numbers = {
            name: {"mean": mean, "ci95": ci95 if math.isfinite(ci95) else None}
            for name, (mean, ci95) in self.intervals.items()
        }
        return {
            "learner": self.learner,
            "sampler": self.sampler,
            "normalisation": self.normalisation,
            "members": self.members,
            "intervals": numbers,
            "scores": {name: values.tolist() for name, values in self.scores.items()},
        }


@torch.no_grad()
def predictive_scores(
    learner: Learner, params: Params, sampler: Sampler, episodes: int = 600, *, first: int = 0
) -> PredictiveResult:
    """Meta-test a learner's predictive: adapt to every task, score what it says of the queries.

    Args:
        learner: One that declares `probabilistic`.
        params: Its meta-parameters; episodes are moved to their device.
        sampler: Of the meta-test tasks.
        episodes: How many.
        first: Index of the first.

    Raises:
        InputError: The learner has no predictive, or one of other shapes; no episodes, or one without labelled queries,
            or with targets that are not finite.
        FailedError: A score is not finite.
    """
    name, of_classes = type(learner).__name__, of_sampler(sampler).of_classes
    if not learner.probabilistic:
        raise InputError(f"{name} has no predictive: a learner that has one declares probabilistic = True")
    if episodes < 1:
        raise InputError(f"a test needs at least 1 episode, got {episodes}")
    device = next(iter(params.values())).device if params else torch.device("cpu")
    rows: list[dict[str, float]] = []
    answers: list[tuple[Tensor, Tensor]] = []
    members = 0
    for start in range(first, first + episodes, _CHUNK):
        count = min(_CHUNK, first + episodes - start)
        stacked = tree.map(lambda leaf: leaf.to(device), sampler.episodes(start, count))
        for i in range(count):
            support, query = tree.slice(stacked, i)
            if not bool(objectives.weights(query.y, query.mask).any()):
                raise InputError(f"episode {start + i} has no labelled query: there is nothing to score")
            predictive = learner.predictive(params, learner.adapt(params, support), query.x)
            check_predictive(predictive, len(query.y), name)
            members = len(predictive.outputs)
            rows.append(class_scores(predictive, query) if of_classes else target_scores(predictive, query))
            if of_classes:
                answers.append(answers_of(predictive, query))
            broken = [score for score, value in rows[-1].items() if not math.isfinite(value)]
            if broken:
                fits.check_targets(sampler, start + i)
                raise FailedError(
                    f"the {broken[0]} of {name} in episode {start + i} is not finite: training diverged, or it gives "
                    "no probability at all to what is true"
                )
    return PredictiveResult(
        learner=name,
        sampler=sampler.describe(),
        normalisation="transductive" if learner.transductive else "inductive",
        members=members,
        scores={k: torch.tensor([row[k] for row in rows], dtype=torch.float64) for k in rows[0]},
        ece=pooled_error(answers) if answers else None,
    )


def class_scores(predictive: Predictive, query: Batch) -> dict[str, float]:
    """Scores of the classes of one episode by name: nll, brier, entropy, mutual_information."""
    classes, named = _classes(predictive, query.classes), (nll, brier, entropy, mutual_information)
    return {score.__name__: float(score(predictive, query.y, query.mask, classes)) for score in named}


def target_scores(predictive: Predictive, query: Batch) -> dict[str, float]:
    """Scores of the targets of one episode: coverage_90 and width_90, as of every level, deviation, nll with a std."""
    y, mask = query.y, query.mask
    scores = {} if predictive.std is None else {"nll": float(nll(predictive, y, mask))}
    scores["deviation"] = float(deviation(predictive, y, mask))
    ends_of_all = _quantiles(predictive, [(1 + sign * level) / 2 for level in LEVELS for sign in (-1, 1)])
    for i, level in enumerate(LEVELS):
        ends, name = (ends_of_all[2 * i], ends_of_all[2 * i + 1]), round(100 * level)
        scores[f"coverage_{name}"] = float(_inside(*ends, y, mask))
        scores[f"width_{name}"] = float(_between(*ends, y, mask))
    return scores


def _inside(low: Tensor, high: Tensor, y: Tensor, mask: Tensor | None) -> Tensor:
    return _mean(((low <= y) & (y <= high)).double().flatten(1).mean(-1), y, mask)


def _between(low: Tensor, high: Tensor, y: Tensor, mask: Tensor | None) -> Tensor:
    return _mean((high - low).flatten(1).mean(-1), y, mask)


def bounds_of(name: str) -> tuple[float, float] | None:
    """Least and most that a score can be, where it has both; that of `brier` is a sum of two shares."""
    return SHARES if name.startswith("coverage") else (0.0, 2.0) if name == "brier" else None


def pooled_error(answers: Sequence[tuple[Tensor, Tensor]]) -> Interval:
    """The calibration error over the rows of all episodes, and 1.96 deviations of it over episodes drawn again.

    Args:
        answers: Confidence, and whether the answer was right, [rows] each, of every episode.
    """
    count = len(answers)
    confidence, right = (torch.cat([pair[part] for pair in answers]) for part in (0, 1))
    whole = expected_calibration_error(confidence, right)
    if count == 1:
        return Interval(whole, math.nan)
    gaps = torch.stack([calibration_gaps(*pair) for pair in answers])  # [episodes, bins]
    sizes = torch.tensor([len(confidence) for confidence, _ in answers], dtype=torch.float64)
    draws = random.bits(random.mix(0, count), (_RESAMPLES, count)) % count  # the same ones always
    times = torch.zeros(_RESAMPLES, count, dtype=torch.float64).scatter_add_(1, draws, torch.ones(draws.shape).double())
    values = (times @ gaps).abs().sum(1) / (times @ sizes)
    return Interval(whole, Z95 * float(values.std()))


def answers_of(predictive: Predictive, query: Batch) -> tuple[Tensor, Tensor]:
    """Confidence, and whether the answer was right, of the queries that count."""
    return _answers(predictive, query.y, query.mask, _classes(predictive, query.classes))


def _answers(predictive: Predictive, y: Tensor, mask: Tensor | None, classes: Tensor | None) -> tuple[Tensor, Tensor]:
    """Confidence, and whether the answer was right, of the rows that count."""
    rows = objectives.weights(y, mask)
    confidence, answer = probabilities(predictive, classes).mean(0)[rows].max(-1)
    return confidence.cpu(), (answer == y[rows]).cpu()


def _classes(predictive: Predictive, classes: Tensor | None) -> Tensor | None:
    """Which outputs are of classes that exist; what a network has beyond them is of none."""
    ways = predictive.outputs.shape[-1]
    if classes is None or len(classes) == ways:
        return classes
    return torch.nn.functional.pad(classes, (0, ways - len(classes)))


def _quantiles(predictive: Predictive, shares: list[float]) -> Tensor:
    """[shares, n, d] below which so much of the mixture lies."""
    mean = predictive.outputs.double()
    share = torch.tensor(shares, dtype=torch.float64, device=mean.device)
    if predictive.std is None:
        return torch.quantile(mean, share, dim=0)
    std = predictive.std.double()
    share = share.view(-1, *[1] * (mean.ndim - 1))
    ends = mean[:, None] + std[:, None] * torch.special.ndtri(share)  # [m, shares, n, d]
    low, high = ends.amin(0), ends.amax(0)  # the mixture's lies between those of its members
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = torch.special.ndtr((middle - mean[:, None]) / std[:, None]).mean(0) < share
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def _mean(values: Tensor, y: Tensor, mask: Tensor | None) -> Tensor:
    """Over the rows that count; what is not finite elsewhere is not looked at."""
    rows = objectives.weights(y, mask)
    return objectives.mean(torch.where(rows, values, 0.0), rows)
