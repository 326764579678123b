"""Class means and distances, which metric learners and centroid baselines share."""

from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.objectives import membership
from innerloop.core.types import Batch


class Centroids(NamedTuple):
    """Mean feature of every class; a class without examples has mean 0 and count 0."""

    means: Tensor  # [ways, d]
    counts: Tensor  # [ways]


def centroids(features: Tensor, support: Batch) -> Centroids:
    """Means of the [n, d] features of a support with known `classes`.

    Raises:
        InputError: The batch does not say how many classes there are.
    """
    if support.classes is None:
        raise InputError("a support set of classes needs `classes` ([ways] bool): its length is the number of ways")
    member = membership(support.y, support.classes.shape[0], support.mask, features.dtype)  # [n, ways]
    counts = member.sum(0)
    return Centroids((member.T @ features) / counts.clamp_min(1)[:, None], counts)


def squared_distance(x: Tensor, y: Tensor) -> Tensor:
    """[n, m] squared Euclidean distances of [n, d] and [m, d]; its derivatives are finite at 0.

    In float32 at least: in bfloat16 the difference of large squares would be noise.
    """
    with torch.autocast(x.device.type, enabled=False):
        x, y = (v.float() if v.dtype == torch.bfloat16 else v for v in (x, y))
        return x.square().sum(-1)[:, None] - 2 * x @ y.T + y.square().sum(-1)[None, :]
