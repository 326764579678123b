"""Numbers that say how good answers are, from the true classes, the probabilities and what was refused.

Precision, recall and F1 are those of scikit-learn's `classification_report`; the risk-coverage curve is that of
Geifman and El-Yaniv, NeurIPS 2017, https://arxiv.org/abs/1705.08500.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.evaluate.temperature import BINS


class ClassScore(NamedTuple):
    """How one class, or the mean of several, is answered."""

    precision: float
    """Share of the answers with this class that are right; 0 where there is none."""
    recall: float
    """Share of its examples that are answered with it; 0 where there is none."""
    f1: float
    support: int
    """How many examples it has."""


class Bin(NamedTuple):
    """Answers of like confidence."""

    low: float
    high: float
    size: int
    """How many there are."""
    confidence: float
    """Mean; NaN where there is no answer."""
    accuracy: float


class RiskCoverage(NamedTuple):
    """How often answers are wrong if only the most confident ones are given."""

    coverage: Tensor
    """[n] float64, share of the examples that is answered, from 1/n to 1."""
    risk: Tensor
    """[n] share of those answers that is wrong."""

    @property
    def area(self) -> float:
        """Mean of the risk over all coverages, 0 at best."""
        return self.risk.mean().item()


def confusion(truth: Tensor, answers: Tensor, classes: int) -> Tensor:
    """[classes, classes + 1] counts: true classes down, answers across, the last column for what was refused.

    Args:
        truth: [n] classes.
        answers: [n] classes, or -1 where none was given.
        classes: How many there are.
    """
    columns = torch.where(answers < 0, classes, answers)
    return torch.bincount(truth * (classes + 1) + columns, minlength=classes * (classes + 1)).view(classes, classes + 1)


def class_scores(counts: Tensor) -> list[ClassScore]:
    """Precision, recall and F1 of every class of a `confusion`."""
    classes = len(counts)
    right, support, answered = counts[:, :classes].diagonal(), counts.sum(1), counts[:, :classes].sum(0)
    precision, recall = (right / total.clamp_min(1) for total in (answered.double(), support.double()))
    # 2 TP / (2 TP + FP + FN) needs no case for classes that were never answered.
    f1 = 2 * right / (answered + support).double().clamp_min(1)
    columns = (precision.tolist(), recall.tolist(), f1.tolist(), support.tolist())
    return [ClassScore(p, r, f, n) for p, r, f, n in zip(*columns, strict=True)]


def averages(scores: list[ClassScore]) -> tuple[ClassScore, ClassScore]:
    """The macro average, of classes that count alike, and the weighted one, of examples that do.

    Args:
        scores: Of classes that have examples or were answered.

    Raises:
        InputError: None of them has an example.
    """
    support = torch.tensor([score.support for score in scores], dtype=torch.float64)
    if not support.sum() > 0:
        raise InputError("averages need an example")
    values = torch.tensor([score[:3] for score in scores], dtype=torch.float64)
    means = torch.stack([values.mean(0), (support / support.sum()) @ values])
    macro, weighted = (ClassScore(p, r, f, int(support.sum())) for p, r, f in means.tolist())
    return macro, weighted


def risk_coverage(confidence: Tensor, right: Tensor) -> RiskCoverage:
    """The risk-coverage curve of n answers.

    Args:
        confidence: [n].
        right: [n] bool.

    Raises:
        InputError: There is no answer.
    """
    if not len(right):
        raise InputError("a risk-coverage curve needs an answer")
    values, order = confidence.double().sort(descending=True)
    wrong = (~right[order]).double()
    # Answers of the same confidence have no order among them: each counts as their mean.
    _, group, sizes = values.unique_consecutive(return_inverse=True, return_counts=True)
    share = torch.zeros(len(sizes), dtype=torch.float64).index_add_(0, group, wrong) / sizes
    number = torch.arange(1, len(wrong) + 1, dtype=torch.float64)
    return RiskCoverage(number / len(wrong), share[group].cumsum(0) / number)


def reliability(confidence: Tensor, right: Tensor) -> list[Bin]:
    """Confidence and accuracy in the bins of `temperature.expected_calibration_error`."""
    index = ((confidence.double() * BINS).ceil().long() - 1).clamp(0, BINS - 1)
    rows = []
    for i in range(BINS):
        mine = index == i
        means = (float(values[mine].double().mean()) for values in (confidence, right))  # NaN of none
        rows.append(Bin(i / BINS, (i + 1) / BINS, int(mine.sum()), *means))
    return rows
