"""What a task learns from: rows, their classes, and how much each counts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.core.dry_run import support
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.types import Batch
from innerloop.fewshot.history import Label

if TYPE_CHECKING:
    from innerloop.fewshot.tuning import Tuning


class Support(NamedTuple):
    """What a task learns from: examples, and behind them what stands for names."""

    x: Tensor  # [n, ...] float32
    y: Tensor  # [n] classes, 0 to ways - 1
    kept: Tensor | None = None  # [n] bool, which rows are never held out, such as those of names; None: none of them
    weight: Tensor | None = None  # [n] how many rows each is learned from as; None: 1
    tuning: "Tuning | None" = None  # of the encoder, where it was trained on some of these rows

    def only(self, rows: Tensor) -> "Support":
        """Some of it: those of [n] bool, or of their places."""
        kept, weight = (None if part is None else part[rows] for part in (self.kept, self.weight))
        return Support(self.x[rows], self.y[rows], kept, weight, self.tuning)

    def batch(self, ways: int) -> Batch:
        """As a learner takes it."""
        return support(self.x, self.y, ways, self.weight)


def checked_weights(weights: Any, count: int, learner: Learner) -> Tensor | None:
    """[n] float32, how many rows each example is learned from as; None: all as 1.

    Args:
        weights: [n] numbers, as `sample_weight` of scikit-learn; of 0, its example is to be left out.
        count: How many examples there are.
        learner: Who learns from them.

    Raises:
        InputError: Not one for each example, negative, not finite, all 0, or the learner counts every example as 1.
    """
    if weights is None:
        return None
    try:
        values = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"sample_weight is one number for each example ({error})") from error
    if values.shape != (count,):
        raise InputError(f"sample_weight has shape {list(values.shape)} and there are {count} examples: give each one")
    wrong = next((i for i, value in enumerate(values.tolist()) if not 0 <= value < float("inf")), None)
    if wrong is not None:
        raise InputError(f"sample_weight {values[wrong]:g} of example {wrong} is no weight: give numbers from 0 on")
    if count and not values.any():
        raise InputError("every sample_weight is zero, so that no example is left: give some a weight")
    if (values == 1).all():
        return None
    if not learner.weighs:
        raise InputError(
            f"{type(learner).__name__} counts every example as one, so that sample_weight cannot be taken: leave it "
            "out, or take a frozen encoder, whose heads weigh"
        )
    return from_numpy(values).float()


def by_class(labels: Sequence[Label]) -> list[int]:
    """Places of labels sorted by class; those of a class keep their order, so that one entry names them all."""
    return sorted(range(len(labels)), key=lambda i: labels[i])


def in_order(
    rows: Tensor, weights: Tensor | None, labels: Sequence[Label], first: int
) -> tuple[Tensor, Tensor | None, list[tuple[Label, int, int]]]:
    """Rows and weights sorted by class, and where those of each lie in a table in which they begin at `first`."""
    order = by_class(labels)
    added: list[tuple[Label, int, int]] = []
    for place, i in enumerate(order):
        if added and added[-1][0] == labels[i]:
            label, begin, count = added[-1]
            added[-1] = (label, begin, count + 1)
        else:
            added.append((labels[i], first + place, 1))
    index = torch.tensor(order, dtype=torch.long)
    return rows[index], None if weights is None else weights[index], added


def weighed_together(rows: Tensor, weights: Tensor | None, more: Tensor, their_weights: Tensor | None) -> Tensor | None:
    """Weights of two tables of rows, one behind the other; None: every row counts as 1."""
    if weights is None and their_weights is None:
        return None
    pairs = ((rows, weights), (more, their_weights))
    return torch.cat([torch.ones(len(one)) if each is None else each for one, each in pairs])
