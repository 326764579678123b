"""Losses over masked rows; safe under `vmap`, never NaN on padding or absent classes."""

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

Objective = Annotated[
    Callable[[Tensor, Tensor, Tensor | None], Tensor], "a function of outputs, y and mask, such as `classification`"
]
"""`(outputs, y, mask=None) -> scalar`."""

ABSENT = -1e4
"""Logit of a class that the task does not have: exp underflows to 0, gradients stay finite. Among lower logits it is
lower still, see `core.learner.mask_absent`."""


def weights(y: Tensor, mask: Tensor | None = None) -> Tensor:
    """[n] bool, the rows that count: real ones, and for classes the labelled ones."""
    real = torch.ones(y.shape[0], dtype=torch.bool, device=y.device) if mask is None else mask
    return real if y.is_floating_point() else real & (y >= 0)


def mean(values: Tensor, rows: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of [n] values over the rows that count, each as much as it weighs; 0 where there are none."""
    if weight is None:
        rows = rows.to(values.dtype)
        return (values * rows).sum() / rows.sum().clamp_min(1)
    shares = rows.to(values.dtype) * weight.to(values.dtype)
    return (values * shares).sum() / shares.sum().clamp_min(torch.finfo(values.dtype).tiny)


def membership(y: Tensor, ways: int, mask: Tensor | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """[n, ways] 1 where row i is a counted example of class j (`one_hot` raises on -1, or is silently 0 under vmap)."""
    hot = y[:, None] == torch.arange(ways, device=y.device)  # [n, ways]
    return (hot & weights(y, mask)[:, None]).to(dtype)


def weighted(member: Tensor, weight: Tensor | None) -> Tensor:
    """[n, ways] membership in which every row counts as much as it weighs; None: as 1."""
    return member if weight is None else member * weight[:, None].to(member.dtype)


def classification(logits: Tensor, y: Tensor, mask: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of [n, ways] logits with [n] classes over the rows that count, each as much as it weighs."""
    log_p = torch.log_softmax(logits, -1)
    return mean(-(log_p * membership(y, logits.shape[-1], mask, logits.dtype)).sum(-1), weights(y, mask), weight)


def regression(outputs: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared error of [n, d] outputs over the rows that count, averaged over d."""
    return mean((outputs - y).square().flatten(1).mean(-1), weights(y, mask))


def sampled_softmax(outputs: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of each row that was chosen (`y > 0`) against all that were not, of [n, 1] outputs.

    Where the others are a sample, their outputs must have the logarithm of how often each is expected in it taken off
    (log-Q correction, Bengio and Senecal 2008): sums over the sample then estimate those over all.
    """
    scores, rows = outputs[:, 0], weights(y, mask)
    chosen, others = rows & (y[:, 0] > 0), rows & (y[:, 0] <= 0)
    rest = torch.logsumexp(torch.where(others, scores, ABSENT), 0)
    return mean(torch.logaddexp(scores, rest) - scores, chosen)


def normalize(x: Tensor, eps: float = 1e-6) -> Tensor:
    """Rows of unit length; finite second derivatives at 0."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + eps**2)
