"""Penalised discriminant analysis: Hastie, Buja and Tibshirani 1995, https://doi.org/10.1214/aos/1176324456.

Adaptation is ridge regression of the classes, with optimal scores, on rows of unit length: in closed form, linear
discriminant analysis whose scatter within the classes has `decay` added to its diagonal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from innerloop.core.learner import EpisodicClassifier, mask_absent
from innerloop.core.objectives import membership, normalize, weighted
from innerloop.core.prototypes import flat, ways
from innerloop.core.ranges import Positive
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.types import Batch, Params

_GRID = 2.0**18
"""Rows are multiples of its inverse, so that float64 sums up to 65,536 products of them without rounding: in any order,
all at once or one by one, to the same bits. So it does if weights are whole numbers."""


class Discriminant(NamedTuple):
    """Sums over the examples, and the linear model that follows from them."""

    products: Tensor  # [d, d] float64, the sum of x x'
    sums: Tensor  # [ways, d] float64, of every class's rows
    counts: Tensor  # [ways] float64
    weight: Tensor  # [ways, d]
    bias: Tensor  # [ways]


@dataclass(frozen=True, kw_only=True)
class RidgeDiscriminant(EpisodicClassifier[Discriminant]):
    """Logits are log-ratios of normal densities: of every class, against one around the mean of all class means.

    All classes are equally likely before an example is seen, however many examples each has. There are no parameters.
    """

    trains_on = ("episodes",)
    sensible = by_kind(classes=Sensible(train={"steps": 0}, choices={"decay": (0.3, 1.0, 0.1, 3.0, 0.03)}))
    incremental: ClassVar[bool] = True
    weighs = True

    decay: Positive = 0.3
    """What is added to the sum of squares within classes, in every direction. For rows of unit length in d dimensions,
    half of whose square is spread within classes, it weighs as much as 0.6 d examples."""

    def init(self, seed: int) -> Params:
        return {}

    def adapt(self, params: Params, support: Batch) -> Discriminant:
        return self._solved(*_sums(support), flat(support.x).dtype)

    def update(self, params: Params, adapted: Discriminant, more: Batch) -> Discriminant:
        products, sums, counts = _sums(more)
        total = (adapted.products + products, adapted.sums + sums, adapted.counts + counts)
        return self._solved(*total, adapted.weight.dtype)

    def predict(self, params: Params, adapted: Discriminant, x: Tensor | dict[str, Tensor]) -> Tensor:
        return mask_absent(normalize(flat(x)) @ adapted.weight.T + adapted.bias, adapted.counts > 0)

    def _solved(self, products: Tensor, sums: Tensor, counts: Tensor, dtype: torch.dtype) -> Discriminant:
        present = counts > 0
        means = sums / _divisor(counts)
        within = products - (means.T * counts) @ means
        centre = means.sum(0) / present.sum().clamp_min(1)
        means = torch.where(present[:, None], means - centre, 0)
        rounding = torch.finfo(within.dtype).eps * products.diagonal().sum()
        ridge = within + (self.decay + rounding) * torch.eye(len(within), dtype=within.dtype, device=within.device)
        # An unbiased covariance where examples are many; never a division by 0 where they are single.
        freedom = (counts.sum() - present.sum()).clamp_min(0) + 1
        weight = freedom * torch.cholesky_solve(means.T, torch.linalg.cholesky_ex(ridge).L).T
        bias = -weight @ centre - (weight * means).sum(-1) / 2
        return Discriminant(products, sums, counts, weight.to(dtype), bias.to(dtype))


def left_out(x: Tensor, y: Tensor, ways: int, decays: Sequence[float], weight: Tensor | None = None) -> Tensor:
    """What every example is answered by a model of all others, exactly, without fitting one for each.

    Without an example, the scatter within classes lacks one product of rank 1 (Sherman and Morrison 1950).

    Args:
        x: [n, ...] rows.
        y: [n] classes; each has two examples at least, or its example stays in.
        ways: Number of classes.
        decays: For each of which it is answered.
        weight: [n] how many rows each counts as; None: 1.

    Returns:
        [decays, n, ways] float64, half the squared distances to the classes, negative: logits up to a factor, and up to
        a constant for each row.
    """
    x = _unit(x)
    if len(x) < x.shape[1]:
        x = torch.linalg.qr(x.T).R.T  # the same angles and lengths, in as many dimensions as there are rows
    member = membership(y, ways, dtype=x.dtype)
    weight = torch.ones(len(x), dtype=x.dtype) if weight is None else weight.to(x.dtype)
    counts = weighted(member, weight).sum(0)
    means = weighted(member, weight).T @ x / _divisor(counts)
    apart = x - means[y]
    spread, axes = torch.linalg.eigh(apart.T @ (weight[:, None] * apart))
    x, means, weight = x @ axes, means @ axes, weight[:, None]
    without = counts[y][:, None] - weight  # of its class; nothing where it is the only example
    more = torch.where(without > 0, counts[y][:, None] / without, 1)  # its mean is so much further from it then
    results = []
    for decay in decays:
        inverse = 1 / (spread.clamp_min(0) + decay)
        scaled = means * inverse
        rows, between = x @ scaled.T, means @ scaled.T
        square = (x.square() * inverse).sum(-1, keepdim=True)
        distance = square - 2 * rows + between.diagonal()
        own = distance.gather(1, y[:, None])
        cross = square - rows - rows.gather(1, y[:, None]) + between[y]
        rest = (1 - weight * more * own).clamp_min(torch.finfo(x.dtype).eps)
        other = distance + weight * more * cross.square() / rest
        results.append(-torch.where(member > 0, more.square() * own / rest, other) / 2)
    return torch.stack(results)


def _unit(x: Tensor) -> Tensor:
    return (normalize(x.flatten(1)).double() * _GRID).round() / _GRID


def _sums(support: Batch) -> tuple[Tensor, Tensor, Tensor]:
    x = _unit(flat(support.x))
    member = weighted(membership(support.y, ways(support), support.mask, x.dtype), support.weight)  # [n, ways]
    return (x * member.sum(1, keepdim=True)).T @ x, member.T @ x, member.sum(0)


def _divisor(counts: Tensor) -> Tensor:
    """[ways, 1] what sums are divided by; 1 of a class that has no example."""
    return torch.where(counts > 0, counts, 1)[:, None]
