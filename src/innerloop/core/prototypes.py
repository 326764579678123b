"""Class means, and comparisons of examples with classes and with each other, which metric learners share."""

from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.objectives import membership, normalize, weighted, weights
from innerloop.core.types import Batch


class Centroids(NamedTuple):
    """Mean feature of every class; a class without examples has mean 0 and count 0."""

    means: Tensor  # [ways, d]
    counts: Tensor  # [ways]


def centroids(features: Tensor, support: Batch, weight: Tensor | None = None) -> Centroids:
    """Means of the [n, d] features of a support with known `classes`, each counted as its [n] weight says; None: 1.

    Raises:
        InputError: The batch does not say how many classes there are.
    """
    member = membership(support.y, ways(support), support.mask, features.dtype)  # [n, ways]
    member = weighted(member, weight)
    counts = member.sum(0)
    least = 1 if weight is None else torch.finfo(counts.dtype).tiny  # counts are whole, weights are not
    return Centroids((member.T @ features) / counts.clamp_min(least)[:, None], counts)


def ways(support: Batch) -> int:
    """How many classes a support tells apart.

    Raises:
        InputError: The batch does not say.
    """
    if support.classes is None:
        raise InputError("a support set of classes needs `classes` ([ways] bool): its length is the number of ways")
    return support.classes.shape[0]


def flat(x: Tensor | dict[str, Tensor]) -> Tensor:
    """[n, d] raw inputs as rows.

    Raises:
        TypeError: They have several parts.
    """
    if isinstance(x, dict):
        raise TypeError("raw inputs must be one tensor; give an encoder for inputs of several parts")
    return x.flatten(1)


def labels(support: Batch) -> Tensor:
    """[n] class of every row that counts, and -1 for padding and the unlabelled."""
    return torch.where(weights(support.y, support.mask), support.y, -1)


def squared_distance(x: Tensor, y: Tensor) -> Tensor:
    """[n, m] squared Euclidean distances of [n, d] and [m, d]; its derivatives are finite at 0.

    They are `|x|^2 - 2 x y + |y|^2`, a difference of large squares where points lie far from the origin and near to
    each other. So both are first moved by the mean of y, which changes no distance, and are in float32 at least.
    """
    with torch.autocast(x.device.type, enabled=False):
        x, y = precise(x), precise(y)
        centre = _centre(y).detach()  # the distances, and so their derivatives, do not depend on it
        x, y = x - centre, y - centre
        return x.square().sum(-1)[:, None] - 2 * x @ y.T + y.square().sum(-1)[None, :]


def _centre(y: Tensor) -> Tensor:
    """[d] mean of the rows of [m, d] that are not zero, which those of classes without examples are."""
    count = (y != 0).any(-1).sum()
    return y.sum(0) / count.clamp_min(1)


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """[n, m] cosines of the angles between [n, d] and [m, d], 0 for a zero vector; in float32 at least."""
    with torch.autocast(x.device.type, enabled=False):
        return normalize(precise(x)) @ normalize(precise(y)).T


def precise(x: Tensor) -> Tensor:
    """In float32, if it came in bfloat16."""
    return x.float() if x.dtype == torch.bfloat16 else x


def vote(scores: Tensor, labels: Tensor, ways: int) -> Tensor:
    """Log-probabilities of classes when every example votes for its own with weight exp(score), over all weights.

    Every class is summed relative to its own largest score, so that nothing underflows however far apart they are.

    Args:
        scores: [n, m] of m labelled examples for each of n queries.
        labels: [m] their classes; -1 has no vote.
        ways: Number of classes.

    Returns:
        [n, ways]; huge and negative, but finite, for classes without examples.
    """
    lowest = torch.finfo(scores.dtype).min
    member = membership(labels, ways, dtype=scores.dtype)  # [m, ways]
    counts = member.sum(0)
    scores = scores.masked_fill(member.sum(1) == 0, lowest)
    index = labels.clamp(0, ways - 1).expand_as(scores)
    none = scores.detach().new_full((1, ways), lowest).expand(scores.shape[0], ways)
    top = none.scatter_reduce(1, index, scores.detach(), "amax")  # [n, ways]
    sums = (scores - top.gather(1, index)).exp() @ member  # at least 1 where there is an example
    return torch.log_softmax(torch.where(counts > 0, sums, 1).log() + top, -1)
