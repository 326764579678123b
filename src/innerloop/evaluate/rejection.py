"""A threshold that holds what was asked for, and both sides of it: what is answered, and which strangers pass."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.interval import Share
from innerloop.evaluate.calibration import TARGETS, Calibration, auroc, check_target, rate_of, threshold

LOW = 0.8
"""Coverage below which a task is of little use as it is."""


def check_coverage(coverage: float) -> None:
    """Refuse what is no share of examples that are to be answered, or held by a set.

    Raises:
        InputError: Not a number above 0 and below 1.
    """
    if isinstance(coverage, bool) or not isinstance(coverage, int | float) or not 0 < coverage < 1:
        raise InputError(f"coverage is a share above 0 and below 1, such as 0.9; got {coverage!r}")


def check_enough(count: int, coverage: float, what: str) -> None:
    """Refuse a share that so few held-out examples cannot guarantee.

    Args:
        count: Examples that were held out.
        coverage: The share.
        what: What it is for.

    Raises:
        InputError: They are too few.
    """
    check_coverage(coverage)
    least = math.ceil(coverage / (1 - coverage) - 1e-9)
    if count < least:
        raise InputError(
            f"{what} takes {least} examples that can be held out, each of a class with 2 or more, and there "
            f"{'is' if count == 1 else 'are'} {count or 'none'}: give more examples, or ask for less"
        )


def highest(scores: Tensor, coverage: float) -> float:
    """The highest threshold that a further score is at or above with this probability, whatever its distribution.

    It is the k-th smallest of n scores, k = floor((1 - coverage)(n + 1)): Vovk, Gammerman and Shafer 2005, for scores
    that are exchangeable with the further one.

    Args:
        scores: [n], enough of them (`check_enough`).
        coverage: The probability.
    """
    k = math.floor((1 - coverage) * (len(scores) + 1) + 1e-9)
    return scores.double().sort().values[max(k, 1) - 1].item()


def settled(
    inside: Tensor | None,
    foreign: Tensor | None,
    left_out: Sequence[Tensor],
    calibration: Calibration,
    strangers: float | None = None,
    coverage: float | None = None,
) -> Calibration:
    """`calibration` with the threshold for one of the two shares, and what is known of both.

    Args:
        inside: [n] scores of held-out examples of the classes; None: there are none, so that coverage is not known.
        foreign: [m] scores of foreign examples; None: there are none.
        left_out: Scores of examples of classes that were left out, by class; where there are foreign ones as well, the
            stricter of the two counts.
        calibration: Its temperature and source are kept.
        strangers: Share of examples of no class that may be accepted; None: `coverage` says it.
        coverage: Share of examples of the classes that are to be accepted.
    """
    kinds = [scores for scores in (foreign, torch.cat(list(left_out)) if left_out else None) if scores is not None]

    def at(target: float) -> float:
        check_target(target)
        return max(threshold(scores, target) for scores in kinds)

    def told(limit: float, target: float | None) -> Calibration:
        answered = None if inside is None else Share(int((inside >= limit).sum()), len(inside))
        passed = [float((scores >= limit).double().mean()) for scores in kinds]
        return replace(
            calibration,
            threshold=limit,
            target=target if target is not None else max(passed, default=None),
            false_accepts=_ends(foreign, left_out, limit),
            coverage=None if answered is None else answered.value,
            answered=None if answered is None else answered.ends,
            auroc=None if inside is None or not kinds else min(auroc(inside, scores) for scores in kinds),
        )

    if strangers is not None:
        chosen = told(at(strangers), strangers)
    else:
        assert inside is not None and coverage is not None
        chosen = told(highest(inside, coverage), None)
    if inside is None or not kinds:
        return chosen
    others = [told(at(target), target) for target in TARGETS]
    points = tuple((c.target or 0.0, c.threshold or 0.0, c.coverage or 0.0, *(c.false_accepts or ())) for c in others)
    return replace(chosen, points=points)


def _ends(foreign: Tensor | None, left_out: Sequence[Tensor], limit: float) -> tuple[float, float] | None:
    """The interval of the larger share: over classes that were left out, the unit there, or over foreign examples."""
    candidates: list[tuple[float, tuple[float, float]]] = []
    if foreign is not None:
        share = Share(int((foreign >= limit).sum()), len(foreign))
        candidates.append((share.value, share.ends))
    if len(left_out) > 1:
        rate = rate_of(left_out, limit)
        candidates.append((rate.mean, (max(0.0, rate.mean - rate.ci95), min(1.0, rate.mean + rate.ci95))))
    return max(candidates)[1] if candidates else None
