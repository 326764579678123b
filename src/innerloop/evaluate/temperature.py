"""Probabilities of logits by a temperature, and how far they can be believed.

Guo, Pleiss, Sun, Weinberger, ICML 2017, https://arxiv.org/abs/1706.04599.
"""

import math
from typing import Any

import torch
from torch import Tensor

from innerloop.core.errors import InputError

BINS = 15
_COLDEST, _HOTTEST, _TOLERANCE = 1e-3, 1e4, 1e-4
_GOLDEN = (5**0.5 - 1) / 2


def fit_temperature(logits: Tensor, y: Tensor, ways: Tensor | None = None) -> float:
    """The temperature with the least negative log-likelihood.

    One more example counts that is like the one which is right by the least, and wrong: otherwise a handful of examples
    that are all right would ask for a temperature of 0, for certainty.

    Args:
        logits: [n, classes].
        y: [n] the true classes.
        ways: [n] how many of the classes each example could be of, the first ones, at least 2; None: all.

    Raises:
        InputError: There is no example, or a logit is not finite.
    """
    z, y = logits.double(), torch.as_tensor(y)
    if not len(z) or not bool(z.isfinite().all()):
        raise InputError(f"a temperature needs examples with finite logits, got {list(z.shape)}")
    if ways is not None:
        z = z.masked_fill(torch.arange(z.shape[1]) >= ways[:, None], -torch.inf)
    best, second = z.topk(2).values.T
    margin = torch.where(z.argmax(1) == y, best - second, torch.inf)
    i = int(margin.argmin())
    if margin[i] < torch.inf:
        z, y = torch.cat([z, z[i : i + 1]]), torch.cat([y, z[i].topk(2).indices[1:]])
    z = z - z.gather(1, y[:, None])

    def cost(log_t: float) -> float:
        return float(torch.logsumexp(z * math.exp(-log_t), 1).mean())

    # Convex in 1 / temperature, so there is one valley.
    return math.exp(_lowest(cost, math.log(_COLDEST), math.log(_HOTTEST)))


def _lowest(cost: Any, low: float, high: float) -> float:
    """Golden-section search (Kiefer 1953)."""
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_a, at_b = cost(a), cost(b)
    while high - low > _TOLERANCE:
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - _GOLDEN * (high - low)
            at_a = cost(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + _GOLDEN * (high - low)
            at_b = cost(b)
    return (low + high) / 2


def expected_calibration_error(confidence: Tensor, right: Tensor, bins: int = BINS) -> float:
    """Mean gap between confidence and accuracy over bins of equal width (Guo et al. 2017, equation 3).

    Args:
        confidence: [n] probability of the predicted class.
        right: [n] bool, whether it was the true one.
        bins: How many; a confidence on an edge belongs to the bin below.

    Raises:
        InputError: There is no prediction.
    """
    if not confidence.numel():
        raise InputError("a calibration error needs at least one prediction")
    return (calibration_gaps(confidence, right, bins).abs().sum() / confidence.numel()).item()


def calibration_gaps(confidence: Tensor, right: Tensor, bins: int = BINS) -> Tensor:
    """[bins] float64 sums of confidence less being right; arguments as of `expected_calibration_error`."""
    confidence, right = confidence.double().flatten(), right.double().flatten()
    index = ((confidence * bins).ceil().long() - 1).clamp(0, bins - 1)
    return torch.zeros(bins, dtype=torch.float64).index_add_(0, index, confidence - right)
