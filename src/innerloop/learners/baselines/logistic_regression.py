"""Logistic regression on rows as they are: Cox 1958, in the multinomial form of Theil 1969.

Adaptation fits a linear model of the classes to rows of unit length, such as those of a frozen encoder, to convergence.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from innerloop.core.learner import EpisodicClassifier, mask_absent
from innerloop.core.linalg import with_ones
from innerloop.core.objectives import membership, normalize, weights
from innerloop.core.prototypes import flat, ways
from innerloop.core.ranges import Count, Positive
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.softmax_regression import softmax_regression
from innerloop.core.types import Batch, Params


class LinearModel(NamedTuple):
    """A linear model of the classes."""

    weight: Tensor  # [ways, d + 1], the last column is the bias
    present: Tensor  # [ways] bool


@dataclass(frozen=True, kw_only=True)
class LogisticRegression(EpisodicClassifier[LinearModel]):
    """Weights minimise `C sum_i crossentropy_i + |w|^2 / 2`, the bias goes free: scikit-learn's `LogisticRegression`.

    `C` is that of a row of weight 1. Two classes are treated like any number, as by `linear_probe`. There are no
    parameters.
    """

    trains_on = ("episodes",)
    sensible = by_kind(classes=Sensible(train={"steps": 0}, choices={"C": (10.0, 100.0, 1.0)}))
    weighs = True

    C: Positive = 10.0
    """Inverse of the penalty."""
    solver_steps: Count = 300
    """The most steps of L-BFGS."""
    tolerance: Positive = 1e-6
    """The largest entry of the mean gradient at which it ends; scikit-learn's `tol`, which is 1e-4 there."""
    solver_precision: Literal["float64", "float32"] = "float64"
    """What is computed in; the model is of the rows' type."""

    def init(self, seed: int) -> Params:
        return {}

    def adapt(self, params: Params, support: Batch) -> LinearModel:
        rows = flat(support.x)
        x = with_ones(normalize(rows)) * weights(support.y, support.mask)[:, None]
        x = x.to(getattr(torch, self.solver_precision))
        member = membership(support.y, ways(support), support.mask, x.dtype)  # [n, ways]
        present, decay = member.sum(0) > 0, torch.as_tensor(1 / self.C, dtype=x.dtype, device=x.device)
        weight = softmax_regression(x, member, present, decay, self.solver_steps, self.tolerance, support.weight)
        return LinearModel(weight.to(rows.dtype), present)

    def predict(self, params: Params, adapted: LinearModel, x: Tensor | dict[str, Tensor]) -> Tensor:
        return mask_absent(with_ones(normalize(flat(x))) @ adapted.weight.T, adapted.present)
