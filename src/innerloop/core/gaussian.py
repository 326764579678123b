"""What Bayesian learners share: independent normal distributions of weights, and the noise of targets.

A meta-parameter `log_noise` is the logarithm of the standard deviation of targets around what a member says. What is
adapted to classes keeps none, by which the two are told apart when it is asked.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import objectives, random
from innerloop.core.errors import InputError
from innerloop.core.predictive import Predictive, normal_surprise
from innerloop.core.types import Batch, Params


class Gaussian(NamedTuple):
    """Weights that are independent and normal."""

    mean: Params
    log_std: Params


def key_of(support: Batch) -> Tensor:
    """The key that a task's noise is drawn from.

    Raises:
        InputError: The support has none.
    """
    if support.key is None:
        raise InputError("this learner draws random numbers: the support needs a key: give Batch(..., key=)")
    return support.key


def draw(gaussian: Gaussian, key: Tensor, count: int) -> Params:
    """Weights drawn, [count, ...] each; the order of their names does not matter."""
    names = sorted(gaussian.mean)
    mean = gaussian.mean[names[0]]
    # All at once: a draw is many small operations.
    noise = random.normal(key, (count, sum(gaussian.mean[k].numel() for k in names)), mean.dtype)
    parts = dict(zip(names, noise.split([gaussian.mean[k].numel() for k in names], 1), strict=True))
    return {
        k: mean + gaussian.log_std[k].exp() * parts[k].reshape(count, *mean.shape) for k, mean in gaussian.mean.items()
    }


def divergence(q: Gaussian, p: Gaussian) -> Tensor:
    """Kullback and Leibler's divergence of q from p in nats, summed over all weights; shapes of p broadcast."""

    def flat(weights: Params) -> Tensor:
        return torch.cat([weights[k].expand_as(mean).reshape(-1) for k, mean in q.mean.items()])

    gap = flat(p.log_std) - flat(q.log_std)
    offset = (flat(q.mean) - flat(p.mean)) * (-flat(p.log_std)).exp()
    return (gap + 0.5 * ((-2 * gap).exp() + offset.square() - 1)).sum()


def noise_of(params: Params, support: Batch) -> Params:
    """What an adapted learner keeps of `params`: `log_noise` where the support has values, nothing where classes."""
    return {"log_noise": params["log_noise"]} if support.y.is_floating_point() else {}


def members(outputs: Tensor, noise: Params) -> Predictive:
    """A predictive from the [m, n, k] outputs of its members, and what `noise_of` returned."""
    return Predictive(outputs, noise["log_noise"].exp().expand_as(outputs) if noise else None)


def surprise(outputs: Tensor, noise: Params, y: Tensor) -> Tensor:
    """[..., n] negative log-likelihood, in nats, of targets [n, k] around [..., n, k] outputs, jointly over k."""
    return normal_surprise(y, outputs, noise["log_noise"].exp()).sum(-1)


def mixture_loss(outputs: Tensor, noise: Params, y: Tensor, mask: Tensor | None) -> Tensor:
    """Mean negative log-likelihood of targets [n, k] under the equally weighted members with [m, n, k] outputs."""
    each = math.log(len(outputs)) - torch.logsumexp(-surprise(outputs, noise, y), 0)
    return objectives.mean(each, objectives.weights(y, mask))
