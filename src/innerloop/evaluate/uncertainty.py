"""How far the probabilities of a result can be believed, or its intervals: means over its episodes, and what is drawn.

The scores are those of `evaluate.predictive`, where a learner without members has one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.interval import Interval, interval
from innerloop.core.learner import Learner
from innerloop.core.predictive import Predictive, check_predictive, mean_logits, mean_outputs
from innerloop.core.types import Batch, Params
from innerloop.evaluate import seal
from innerloop.evaluate.class_scores import Bin, reliability
from innerloop.evaluate.predictive import LEVELS, answers_of, bounds_of, class_scores, pooled_error, target_scores

TITLES = {
    "nll": "negative log-likelihood (nats)",
    "brier": "Brier score (0 to 2)",
    "ece": "expected calibration error",
    "entropy": "sharpness: entropy (nats)",
    "mutual_information": "of it, members disagree by (nats)",
    "deviation": "sharpness: standard deviation",
}
"""What tables call the scores; coverage and width stand by level."""


class Asked(NamedTuple):
    """What one episode says."""

    scores: dict[str, float]
    answers: tuple[Tensor, Tensor] | None
    """[queries] confidence, and whether the answer was right; None for values."""


@dataclass(frozen=True, kw_only=True)
class Uncertainty:
    """Scores of probabilities, or of intervals, with their 95% intervals over episodes."""

    members: int
    """How many answers are mixed; 1: the learner has a single one."""
    scores: Mapping[str, Interval]
    """By name. Classes: nll, brier, ece, entropy, and mutual_information of several members. Values: coverage_90 and
    width_90, as of every level, deviation, and nll where there is noise."""
    calibrated: Mapping[str, Interval] = field(default_factory=dict)
    """Those of classes at the temperature; none without one."""
    bins: tuple[Bin, ...] = ()
    """Confidence and accuracy of answers of like confidence; none for values."""
    calibrated_bins: tuple[Bin, ...] = ()

    @property
    def levels(self) -> list[tuple[float, Interval, Interval]]:
        """Level, coverage and width of the intervals of values; none for classes."""
        named = [(level, round(100 * level)) for level in LEVELS]
        return [
            (level, self.scores[f"coverage_{n}"], self.scores[f"width_{n}"])
            for level, n in named
            if f"coverage_{n}" in self.scores
        ]

    def rows(self) -> list[tuple[str, str, str]]:
        """Title, number as it is, and number at the temperature, of every score but the levels."""
        return [
            (
                title,
                number(name, self.scores[name]),
                number(name, cooler) if (cooler := self.calibrated.get(name)) else "",
            )
            for name, title in TITLES.items()
            if name in self.scores and (name != "mutual_information" or self.members > 1)
        ]

    def __str__(self) -> str:
        """A line, without the calibration error, which a result's `reliability` says."""
        parts = []
        for title, plain, calibrated in self.rows():
            if title == TITLES["ece"]:
                continue
            parts.append(f"{title} {plain}" + (f" ({calibrated} at the temperature)" if calibrated else ""))
        for level, coverage, width in self.levels:
            words = f"{100 * level:g}% intervals hold {number('coverage', coverage)}, {number('width', width)} wide"
            parts.append(words)
        return "; ".join(parts) + (f"; {self.members} members" if self.members > 1 else "")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""

        def intervals(some: Mapping[str, Interval]) -> dict[str, Any]:
            return {name: [_plain(v) for v in one] for name, one in some.items()}

        def bins(some: Sequence[Bin]) -> list[Any]:
            return [[_plain(v) for v in one] for one in some]

        content = {"members": self.members, "scores": intervals(self.scores)}
        content |= {"calibrated": intervals(self.calibrated), "bins": bins(self.bins)}
        return content | {"calibrated_bins": bins(self.calibrated_bins)}

    @classmethod
    def from_json(cls, content: Any) -> "Uncertainty":
        """What `to_json` made.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: It is something else.
        """

        def value(v: Any) -> float:
            return math.nan if v is None else seal.number(v)

        def intervals(some: Any) -> dict[str, Interval]:
            return {str(name): Interval(*map(value, pair)) for name, pair in some.items()}

        def bins(some: Any) -> tuple[Bin, ...]:
            return tuple(
                Bin(value(low), value(high), int(size), *map(value, means)) for low, high, size, *means in some
            )

        if type(content["members"]) is not int:
            raise ValueError("its members are no number")
        return cls(
            members=content["members"],
            scores=intervals(content["scores"]),
            calibrated=intervals(content["calibrated"]),
            bins=bins(content["bins"]),
            calibrated_bins=bins(content["calibrated_bins"]),
        )


def mean_and_members(
    learner: Learner, params: Params, adapted: Any, x: Tensor | dict[str, Tensor], of_classes: bool
) -> tuple[Tensor, Predictive]:
    """What `predict` of a learner that is probabilistic says, and its members, which are asked once for both.

    Args:
        learner: Whose `predict` is the mean of its `predictive`, as every one must be that declares `probabilistic`.
        params: Its meta-parameters.
        adapted: What it made of a support.
        x: [n, ...] inputs.
        of_classes: Whether members have logits, not values.

    Returns:
        [n, k] outputs, and the predictive.

    Raises:
        InputError: The predictive has other shapes than one of n inputs.
    """
    predictive = learner.predictive(params, adapted, x)
    check_predictive(predictive, tree.length(x), type(learner).__name__)
    return (mean_logits if of_classes else mean_outputs)(predictive.outputs), predictive


def asked(predictive: Predictive, query: Batch, of_classes: bool) -> Asked:
    """The scores of one episode."""
    if of_classes:
        return Asked(class_scores(predictive, query), answers_of(predictive, query))
    return Asked(target_scores(predictive, query), None)


def at(outputs: Tensor, temperature: float | None) -> Predictive | None:
    """[n, ways] logits of `predict` as a predictive at a temperature; None without one."""
    return None if temperature is None else Predictive(outputs[None] / temperature)


def summed_up(members: int, episodes: Sequence[Asked], calibrated: Sequence[Asked]) -> Uncertainty:
    """What many episodes amount to.

    Args:
        members: Of the predictive.
        episodes: As it is.
        calibrated: At the temperature; none without one.
    """
    scores, bins = _means(episodes)
    cooler, calibrated_bins = _means(calibrated) if calibrated else ({}, ())
    cooler.pop("mutual_information", None)  # the temperature is of the mean, which has no members
    return Uncertainty(members=members, scores=scores, calibrated=cooler, bins=bins, calibrated_bins=calibrated_bins)


def number(name: str, value: Interval) -> str:
    """A mean with its interval, as tables have it; shares in percent."""
    mean, ci95 = value
    if name == "ece" or name.startswith("coverage"):
        mean, ci95, digits, unit = 100 * mean, 100 * ci95, 1, "%"
    else:
        scale = ci95 if ci95 == ci95 and ci95 > 0 else abs(mean)
        digits, unit = (min(6, max(0, 1 - math.floor(math.log10(scale)))) if scale > 0 else 3), ""
    return f"{mean:.{digits}f}{unit}" if ci95 != ci95 else f"{mean:.{digits}f} ± {ci95:.{digits}f}{unit}"


def _means(episodes: Sequence[Asked]) -> tuple[dict[str, Interval], tuple[Bin, ...]]:
    names = episodes[0].scores
    columns = {name: torch.tensor([one.scores[name] for one in episodes], dtype=torch.float64) for name in names}
    scores = {name: interval(column, bounds_of(name)) for name, column in columns.items()}
    answers = [one.answers for one in episodes if one.answers is not None]
    if not answers:
        return scores, ()
    confidence, right = (torch.cat([pair[part] for pair in answers]) for part in (0, 1))
    return scores | {"ece": pooled_error(answers)}, tuple(reliability(confidence, right))


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
