"""What is reported of a task, and of many: accuracy, mean squared error, a score of your own.

A sampler names its score in `describe()["score"]`. Training's validation, `select`, `compare` and reports read the
direction, the unit and the total from here; nothing is guessed from a dtype.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from innerloop.core import objectives
from innerloop.core.context import how_to_allow, under
from innerloop.core.errors import InputError
from innerloop.core.nearest import nearest
from innerloop.core.predictive import Predictive, log_likelihood
from innerloop.core.rankings import NormalisedGain, Recall
from innerloop.core.score import Mean, Score
from innerloop.core.types import Batch, Metrics, Sampler


class Accuracy(Mean):
    """Share of the counted rows whose largest logit is that of their class."""

    name, title, higher_is_better = "accuracy", "accuracy", True
    percent, of_classes = True, True

    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        right = (outputs.argmax(-1) == batch.y).to(outputs.dtype)
        return objectives.mean(right, objectives.weights(batch.y, batch.mask))[None]


class NegativeLogLikelihood(Mean):
    """Cross-entropy of the classes, in nats."""

    name, title, higher_is_better = "nll", "negative log-likelihood", False
    unit, of_classes = "nats", True

    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        return objectives.classification(outputs, batch.y, batch.mask)[None]


class PredictiveNegativeLogLikelihood(Mean):
    """Negative logarithm of the density that a learner's predictive gives to float targets, in nats a row."""

    name, title, higher_is_better = "predictive_nll", "negative log-likelihood", False
    unit, of_members = "nats", True

    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        raise TypeError("a mean has no density: ask `of_predictive`")

    def of_predictive(self, predictive: Predictive, batch: Batch) -> Tensor:
        rows = objectives.weights(batch.y, batch.mask)
        values = -log_likelihood(predictive, batch.y)
        return objectives.mean(torch.where(rows, values, 0.0), rows)[None]


class MeanSquaredError(Mean):
    """Squared error of float targets, mean over rows and their entries."""

    name, title, higher_is_better = "mse", "mean squared error", False

    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        return objectives.regression(outputs, batch.y, batch.mask)[None]


class MeanAbsoluteError(Mean):
    """Absolute error of float targets, mean over rows and their entries."""

    name, title, higher_is_better = "mae", "mean absolute error", False

    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        errors = (outputs - batch.y).abs().flatten(1).mean(-1)
        return objectives.mean(errors, objectives.weights(batch.y, batch.mask))[None]


class RootMeanSquaredError(Score):
    """Root of the mean squared error over the rows of all episodes, long ones and short ones."""

    name, title, higher_is_better, parts = "rmse", "root mean squared error", False, 2

    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        """[2] the sum of the rows' squared errors, and the number of rows."""
        rows = objectives.weights(batch.y, batch.mask).to(outputs.dtype)
        errors = (outputs - batch.y).square().flatten(1).mean(-1)
        return torch.stack([(errors * rows).sum(), rows.sum()])

    def total(self, scores: Tensor) -> float:
        errors, rows = scores.sum(0)
        return (errors / rows).sqrt().item()


class EntityF1(Score):
    """Micro-F1 of entities over all episodes: runs of one class other than 0, which is "no entity", in order of rows.

    A run ends where a row is masked or unlabelled, as between two sentences. An entity is right if class, first and
    last row are.
    """

    name, title, higher_is_better = "entity_f1", "entity F1", True
    percent, of_classes, parts = True, True, 3
    common_classes = 1

    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        """[3] how many entities are right, predicted, and there."""
        rows = objectives.weights(batch.y, batch.mask)
        gold, predicted = (F.pad(torch.where(rows, k, 0), (1, 1)) for k in (batch.y, outputs.argmax(-1)))
        turns = torch.stack([F.pad(k[1:] != k[:-1], (1, 0)) for k in (gold, predicted)])  # [2, rows + 2]
        one, both = turns.any(0), turns.all(0)
        begins = both & (gold == predicted) & (gold > 0)
        # An entity is right if where both begin it is followed, at the next turn of either, by where both end.
        place = torch.arange(len(gold), device=gold.device)
        last = torch.where(one, place, 0).cummax(0).values  # [rows + 2] the latest turn so far
        right = both[1:] & begins.gather(0, last[:-1])
        counts = right.sum(), (turns[1] & (predicted > 0)).sum(), (turns[0] & (gold > 0)).sum()
        return torch.stack(counts).to(outputs.dtype)

    def total(self, scores: Tensor) -> float:
        right, predicted, gold = scores.sum(0).tolist()
        return 2 * right / (predicted + gold) if predicted + gold != 0 else 0.0


class Value(Mean):
    """Mean of the outputs themselves: the value of a function that is minimised."""

    name, title, higher_is_better = "value", "mean value", False

    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        return outputs.mean()[None]


class Return(Value):
    """Mean of the outputs themselves, where more is better: what an agent's episodes earned."""

    name, title, higher_is_better = "return", "mean return", True


SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Accuracy(),
        NegativeLogLikelihood(),
        PredictiveNegativeLogLikelihood(),
        MeanSquaredError(),
        MeanAbsoluteError(),
        RootMeanSquaredError(),
        EntityF1(),
        Value(),
        Return(),
        NormalisedGain(),
        Recall(),
    )
}
"""By name."""
_OBJECTIVES = {objectives.classification: Accuracy(), objectives.regression: MeanSquaredError()}
TRAINED: tuple[Score, ...] = (Accuracy(), MeanSquaredError(), Value(), Return())
"""What learners log of their own training."""


def named(name: Any, allow: Sequence[str] = ()) -> Score:
    """The score of that name.

    One of your own is looked up in modules that are imported already, or lie under an allowed prefix: a file that names
    it runs no code.

    Args:
        name: `accuracy` and the like, or `package.module:attribute`.
        allow: Prefixes of modules that may be imported.

    Raises:
        InputError: There is none.
    """
    if isinstance(name, str) and ":" in name:
        return _own(name, allow)
    if isinstance(name, str) and name in SCORES:
        return SCORES[name]
    raise InputError(
        f"there is no score '{name}'{nearest(str(name), SCORES)} (one of your own is named as package.module:attribute)"
    )


def of_sampler(sampler: Sampler) -> Score:
    """The score that a sampler names.

    Raises:
        InputError: It names none, or one that is not known.
    """
    name = sampler.describe().get("score")
    if name is None:
        raise InputError(
            f'{type(sampler).__name__} names no score: add "score" to what its describe() returns, one of '
            f"{', '.join(SCORES)}, or package.module:attribute"
        )
    return named(name)


def tasks_of(sampler: Sampler) -> dict[str, object]:
    """What `describe()` says of the tasks, without how they are scored."""
    return {k: v for k, v in sampler.describe().items() if k != "score"}


def refuse_tests(sampler: Sampler, purpose: str) -> None:
    """Refuse to choose on meta-test classes, where the sampler, or its pool, knows that they are.

    Args:
        sampler: Of tasks, with a `role` of its own or a `pool` with one; without, it is taken at its word.
        purpose: What they would be used for, as a sentence begins.

    Raises:
        InputError: They are meta-test tasks.
    """
    role = getattr(sampler, "role", None) or getattr(getattr(sampler, "pool", None), "role", None)
    if role == "test":
        raise InputError(f"{purpose} on the classes of the meta-test: give meta-validation tasks")


def measured(score: Score, outputs: Tensor, batch: Batch) -> Tensor:
    """[k] numbers of one episode, without a graph.

    NaN where a counted row is not finite: an argmax over NaN is class 0, which would pass for chance.

    Raises:
        InputError: The score returns another length than it declares.
    """
    outputs = outputs.detach()
    return _checked(score, score.of(outputs, batch), outputs, batch)


def measured_members(score: Score, predictive: Predictive, batch: Batch) -> Tensor:
    """`measured`, for a score that is `of_members`."""
    return _checked(score, score.of_predictive(predictive, batch), predictive.outputs.detach().sum(0), batch)


def _checked(score: Score, values: Tensor, outputs: Tensor, batch: Batch) -> Tensor:
    if values.shape != (score.parts,):
        raise InputError(
            f"{type(score).__name__}.of returned shape {tuple(values.shape)}, and parts = {score.parts} declares "
            f"({score.parts},): return one number for each part"
        )
    finite = outputs.isfinite().flatten(1).all(1)
    rows = objectives.weights(batch.y, batch.mask)
    broken = ~finite & rows if finite.shape == rows.shape else ~finite
    return torch.where(broken.any(), torch.nan, values)


def logged(objective: objectives.Objective, outputs: Tensor, query: Batch) -> Metrics:
    """What training logs of a task beside its loss: the `score` that goes with the loss; nothing for one of your own.

    A learner does not know what its sampler is scored by.
    """
    score = _OBJECTIVES.get(objective)
    return {} if score is None else {"score": measured(score, outputs, query)[0]}


def _own(name: str, allow: Sequence[str]) -> Score:
    module, _, attribute = name.partition(":")
    if under(module, allow):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise InputError(f"the score '{name}' cannot be imported: {error}") from error
    if module not in sys.modules:
        raise InputError(
            f"the score '{name}' is in a module that is not imported: import {module} first. {how_to_allow(module)}"
        )
    score = vars(sys.modules[module]).get(attribute)
    if not isinstance(score, Score) or score.name != name:
        raise InputError(f"'{name}' is no score whose name is '{name}': put an instance of it there")
    return score
