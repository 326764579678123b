"""Stein variational gradient descent: Liu, Wang, NeurIPS 2016, https://arxiv.org/abs/1608.04471.

Particles move together: each climbs the kernel's mean of all scores (attraction), away from the others (repulsion).
"""

import math

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.stopped import stop
from innerloop.core.types import Params


def direction(particles: Params, scores: Params, temperature: float | Tensor = 1.0) -> Params:
    """Where a step of SVGD moves every particle: `1/m sum_j k(j, i) score(j) + temperature grad_j k(j, i)`.

    The kernel's bandwidth is a constant of it.

    Args:
        particles: [m, ...] by name, one point in the space of all names.
        scores: Gradients of the log density, as the particles.
        temperature: What the logarithm of the density, and so the scores, was multiplied by.
    """
    points, slopes = flat(particles), flat(scores)
    distances = squared_distances(points)
    bandwidth = stop(median_bandwidth(distances))
    kernel = torch.exp(-distances / bandwidth)  # [m, m]
    moves = (kernel @ slopes + temperature * repulsion(kernel, points, bandwidth)) / len(points)
    return unflat(moves, particles)


def squared_distances(points: Tensor) -> Tensor:
    """[m, m] between [m, p] points; around their mean, so that what they share is not rounded."""
    points = points - points.mean(0)
    products = points @ points.T
    squares = products.diagonal()
    return (squares[:, None] + squares - 2 * products).clamp_min(0)


def median_bandwidth(distances: Tensor) -> Tensor:
    """[] h of `exp(-d^2 / h)`: the median of the distances between two points over log m; 1 for one point.

    With it, a point weighs about as much as all others together. Points that coincide do not repel one another.

    Args:
        distances: [m, m] squared. The zeros of its diagonal do not count.
    """
    m = len(distances)
    if m == 1:
        return torch.ones_like(distances[0, 0])
    first, second = torch.triu_indices(m, m, 1, device=distances.device)
    between = distances[first, second].sort().values
    count = len(between)
    median = (between[(count - 1) // 2] + between[count // 2]) / 2
    return (median / math.log(m)).clamp_min(torch.finfo(distances.dtype).eps)


def repulsion(kernel: Tensor, points: Tensor, bandwidth: Tensor) -> Tensor:
    """[m, p] sum over j of the gradient of `exp(-|x_j - x_i|^2 / bandwidth)` with respect to x_j, for every point i.

    Args:
        kernel: [m, m] its values.
        points: [m, p].
        bandwidth: [], a constant.
    """
    points = points - points.mean(0)
    return 2 / bandwidth * (points * kernel.sum(1, keepdim=True) - kernel @ points)


def flat(particles: Params) -> Tensor:
    """[m, p] all entries of each particle."""
    return torch.cat([v.reshape(len(v), -1) for v in particles.values()], 1)


def unflat(points: Tensor, like: Params) -> Params:
    """The inverse of `flat`."""
    parts = points.split([v[0].numel() for v in like.values()], 1)
    return tree.unflatten(like, [part.reshape(v.shape) for part, v in zip(parts, like.values(), strict=True)])
