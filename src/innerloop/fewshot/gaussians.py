"""How far what is asked lies from what was taught: a Gaussian for each class, of one diagonal covariance."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core.objectives import normalize
from innerloop.fewshot.answering import answered
from innerloop.fewshot.drift import Drift
from innerloop.fewshot.history import Label
from innerloop.fewshot.labels import same_names
from innerloop.fewshot.nearest import directed
from innerloop.fewshot.rows import Examples, read
from innerloop.fewshot.task import Task

_ROWS = 32
"""Rows of one request that are looked at."""
_OWN = 10.0
"""Examples that the spread of all classes together counts as, in that within them."""
_NEAR = 0.1
"""Squared distances below are alike: an example that was taught has 0."""


class Gaussians(NamedTuple):
    """A normal density for each class, of one diagonal covariance."""

    means: Tensor  # [classes, d] float64
    scale: Tensor  # [d] standard deviations
    directed: bool  # whether features are of unit length first


def gaussians(task: Task) -> Gaussians | None:
    """Those of the taught examples, in the space where classes are told apart; None: there is no example."""
    places, features = task.taught
    if not places:
        return None
    counts = torch.tensor([len(rows) for rows in task.history.members().values() if rows])
    y = torch.arange(len(counts)).repeat_interleave(counts)
    x = _directed(features, directed(task))
    means = torch.zeros(len(counts), x.shape[1], dtype=x.dtype).index_add_(0, y, x) / counts[:, None]
    every = (x - x.mean(0)).square().mean(0)
    within = ((x - means[y]).square().sum(0) + _OWN * every) / (len(x) - len(counts) + _OWN)
    # A feature that never differs would make everything infinitely far.
    least = max(float(within.mean()) * 1e-3, torch.finfo(x.dtype).eps)
    return Gaussians(means, within.clamp_min(least).sqrt(), directed(task))


def distance(task: Task, classes: Gaussians, rows: Tensor) -> float:
    """How far [n, ...] rows of one request lie from the nearest class: the mean logarithm of the squared distance."""
    some = rows[:: -(-len(rows) // _ROWS)]
    x = _directed(task.features(some), classes.directed) / classes.scale
    squares = torch.cdist(x, classes.means / classes.scale, compute_mode="donot_use_mm_for_euclid_dist").square()
    return float((squares.amin(1) / x.shape[1] + _NEAR).log().mean())


def noted(task: Task, X: Examples, truths: Sequence[Label]) -> Drift:
    """What is known of a task's drift once it was asked examples, and told what its answers should have been.

    Args:
        task: Which answers.
        X: [n, ...] examples of one request.
        truths: [n] classes; one that the task does not know says nothing of its answers.
    """
    answers, drift, classes = answered(task, X).classes.tolist(), task.drift, gaussians(task)
    if classes is not None:
        drift = drift.asked(distance(task, classes, read(X, task.source)[0]))
    for answer, truth in zip(answers, same_names(truths, task.classes), strict=True):
        if truth in task.classes:
            drift = drift.answered(answer == truth)
    return drift


def _directed(features: Tensor, by_direction: bool) -> Tensor:
    features = features.double()
    return normalize(features) if by_direction else features
