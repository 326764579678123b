"""Verification: are these two examples of the same class? Measured on pairs from episodes of unseen classes.

Pairs of one episode share pictures, so the episode is the unit of every interval. Accuracy is at a threshold chosen on
validation classes. The area under the ROC curve (AUC) and the equal error rate (EER) need no threshold.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.errors import FailedError, InputError
from innerloop.core.interval import ROUNDING, SHARES, Z95, Interval, interval, unseen
from innerloop.core.learner import Learner
from innerloop.core.scores import tasks_of
from innerloop.core.types import Batch, Params, Sampler

_REFERENCE = 32
"""Validation episodes whose pictures give the batch-norm statistics."""
_RESAMPLES = 1000
_CHUNK = 16


class Pairs(NamedTuple):
    """Scored pairs, as many of one class as of two."""

    scores: Tensor  # [episodes, n]
    same: Tensor  # [episodes, n] bool


class Verification(NamedTuple):
    """What `verify` found; every interval is over test episodes."""

    accuracy: Interval
    """At the threshold: the mean, and 1.96 standard errors."""
    auc: Interval
    """Area of all pairs together, and 1.96 standard deviations over episodes drawn again with replacement."""
    eer: Interval
    """Likewise: the error where as many pairs of one class are refused as of two are accepted, in parts."""
    threshold: float
    """Pairs at least as alike as this are taken for the same; chosen on validation pairs."""
    validation_accuracy: float
    """At the threshold that was chosen on these pairs, so a little too high."""
    pairs: int
    """Test pairs."""
    sampler: dict[str, object]
    """What the test episodes were."""

    def __str__(self) -> str:
        lines = [
            f"accuracy  {_percent(self.accuracy)} at the threshold {self.threshold:.4g} of the validation classes",
            f"AUC       {_percent(self.auc)}",
            f"EER       {_percent(self.eer)}",
        ]
        return "\n".join(lines)


@torch.no_grad()
def verify(
    learner: Learner, params: Params, validation: Sampler, test: Sampler, episodes: int = 400, chunk: int = _CHUNK
) -> Verification:
    """Score pairs of unseen classes.

    Args:
        learner: One with `similarity(params, adapted, left, right)`, [n] how alike the rows of two batches are, one by
            one, higher where more. Its batch norms use the statistics of validation examples.
        params: Its meta-parameters.
        validation: Of validation classes, one shot and one query: the threshold is chosen on its pairs.
        test: Of test classes, likewise.
        episodes: How many of each.
        chunk: Episodes drawn at once; changes no score.

    Raises:
        InputError: The learner cannot verify, or the episodes have other than one shot and one query, or one class.
        FailedError: Similarities that are not finite.
    """
    check_verifier(learner)
    if episodes < 2:
        raise InputError(f"verification needs at least 2 episodes for an interval, got {episodes}")
    adapted = learner.adapt(params, _reference(validation, params))
    known, unseen = (_scored(learner, params, adapted, sampler, episodes, chunk) for sampler in (validation, test))
    threshold, reached = best_threshold(known.scores.flatten(), known.same.flatten())
    right = ((unseen.scores >= threshold) == unseen.same).double().mean(1)
    area, error = _resampled(unseen)
    return Verification(
        accuracy=interval(right, SHARES),
        auc=area,
        eer=error,
        threshold=threshold,
        validation_accuracy=reached,
        pairs=unseen.scores.numel(),
        sampler=tasks_of(test),
    )


def check_verifier(learner: Learner) -> None:
    """Refuse a learner that cannot say how alike two examples are.

    Raises:
        InputError: It has no `similarity`.
    """
    if not callable(getattr(learner, "similarity", None)):
        raise InputError(
            f"{type(learner).__name__} does not say how alike two examples are (it has no `similarity`): verify a run "
            "of siamese"
        )


def roc(scores: Tensor, same: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """The ROC curve: part of the different and of the same pairs at or above each threshold.

    Args:
        scores: [n].
        same: [n] bool.
        weights: [n] how often each pair counts; None: once.

    Returns:
        [k + 1] each, from (0, 0) to (1, 1), and the thresholds: infinity, then every score there is, falling.
    """
    order = scores.argsort(descending=True)
    scores, same = scores[order].double(), same[order]
    counts = torch.ones_like(scores) if weights is None else weights[order].double()
    last = torch.ones_like(same)
    last[:-1] = scores[1:] != scores[:-1]
    parts = []
    for part in (~same, same):
        reached = (counts * part).cumsum(0)
        parts.append(torch.cat([reached.new_zeros(1), reached[last] / reached[-1]]))
    return parts[0], parts[1], torch.cat([scores.new_full((1,), torch.inf), scores[last]])


def auc(scores: Tensor, same: Tensor, weights: Tensor | None = None) -> float:
    """Area under the ROC curve: the chance that a same pair is more alike than a different one, ties half."""
    false, true, _ = roc(scores, same, weights)
    return torch.trapezoid(true, false).item()


def eer(scores: Tensor, same: Tensor, weights: Tensor | None = None) -> float:
    """Equal error rate, where the straight pieces of the ROC curve meet `false positives = false negatives`."""
    false, true, _ = roc(scores, same, weights)
    gap = false + true - 1  # rises from -1 to 1
    i = int((gap >= 0).nonzero()[0])
    share = (-gap[i - 1] / (gap[i] - gap[i - 1])).item()
    return (false[i - 1] + share * (false[i] - false[i - 1])).item()


def best_threshold(scores: Tensor, same: Tensor) -> tuple[float, float]:
    """The threshold of highest accuracy, halfway to the next lower score, and that accuracy on these pairs."""
    false, true, thresholds = roc(scores, same)
    positives = same.double().mean().item()
    accuracy = positives * true + (1 - positives) * (1 - false)
    i = max(int(accuracy.argmax()), 1)
    lower = thresholds[i + 1] if i + 1 < len(thresholds) else thresholds[i]
    return ((thresholds[i] + lower) / 2).item(), accuracy[i].item()


def _scored(learner: Any, params: Params, adapted: Any, sampler: Sampler, episodes: int, chunk: int) -> Pairs:
    """As many pairs of one class as of two from each episode: a query with its own support row, and with the next."""
    scores, device = [], _device(params)
    for first in range(0, episodes, chunk):
        stacked = tree.map(lambda leaf: leaf.to(device), sampler.episodes(first, min(chunk, episodes - first)))
        for i in range(tree.length(stacked)):
            support, query = tree.slice(stacked, i)
            ways = len(support.y)
            if ways < 2 or len(query.y) != ways or support.y.sort().values.ne(query.y.sort().values).any():
                raise InputError(
                    "verification takes pairs from tasks of one shot and one query of each of 2 or more classes"
                )
            left, right = (tree.slice(batch.x, batch.y.argsort()) for batch in (support, query))
            other = tree.map(lambda leaf: leaf.roll(1, 0), right)
            similarities = [learner.similarity(params, adapted, left, x) for x in (right, other)]
            scores.append(torch.cat(similarities).double().cpu())
    table = torch.stack(scores)
    if not table.isfinite().all():
        raise FailedError(f"{type(learner).__name__} gave similarities that are not finite: training diverged")
    half = table.shape[1] // 2
    return Pairs(table, (torch.arange(table.shape[1]) < half).expand_as(table))


def _reference(sampler: Sampler, params: Params) -> Batch:
    """The support rows of some validation episodes as one batch, whose labels nobody needs."""
    drawn = tree.map(lambda leaf: leaf.to(_device(params)), sampler.episodes(0, _REFERENCE).support)
    x, y = tree.map(lambda leaf: leaf.flatten(0, 1), (drawn.x, drawn.y))
    return Batch(x, y, classes=drawn.classes[0], key=drawn.key[0])


def _resampled(pairs: Pairs) -> tuple[Interval, Interval]:
    """AUC and EER with intervals by the bootstrap over episodes (Efron 1979), the same for the same scores."""
    episodes, each = pairs.scores.shape
    scores, same = pairs.scores.flatten(), pairs.same.flatten()
    drawn = random.bits(random.mix(0, 0), (_RESAMPLES, episodes)) * episodes >> 32
    samples = []
    for row in drawn:
        weights = torch.bincount(row, minlength=episodes).repeat_interleave(each)
        samples.append((auc(scores, same, weights), eer(scores, same, weights)))
    spread = (Z95 * torch.tensor(samples, dtype=torch.float64).std(0, correction=1)).tolist()
    values = auc(scores, same), eer(scores, same)
    # Where every draw is told apart without an error, its spread says nothing.
    area, error = (
        half if half > ROUNDING else unseen(v, episodes, SHARES) for v, half in zip(values, spread, strict=True)
    )
    return Interval(values[0], area), Interval(values[1], error)


def _device(params: Params) -> torch.device:
    return next(iter(params.values())).device


def _percent(value: Interval) -> str:
    return f"{100 * value.mean:.1f} ± {100 * value.ci95:.1f}%"
