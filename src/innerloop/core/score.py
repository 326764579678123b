"""What a score is: a number, or a few, of every episode, and what they amount to over many."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from innerloop.core import interval as intervals
from innerloop.core.errors import InputError
from innerloop.core.interval import Interval
from innerloop.core.predictive import Predictive
from innerloop.core.types import Batch


@dataclass(frozen=True)
class Score(abc.ABC):
    """A number, or a few, of every episode, and what they amount to over many."""

    name: ClassVar[str]
    """What protocols and samplers call it: a short name of `core.scores`, or `package.module:attribute`, where an
    instance of it stands, for one of your own."""
    title: ClassVar[str]
    """What tables and axes call it."""
    higher_is_better: ClassVar[bool]
    percent: ClassVar[bool] = False
    """Whether it is from 0 to 1 and is printed as a percentage."""
    unit: ClassVar[str] = ""
    """Such as "s", or "points"; printed after numbers that are no percentage."""
    parts: ClassVar[int] = 1
    """k, how many numbers an episode gives."""
    of_classes: ClassVar[bool] = False
    """Whether outputs are logits of classes, so that their probabilities can be judged, and labels permuted."""
    common_classes: ClassVar[int] = 0
    """How many classes, the first ones, mean the same in every task, so that their labels are not permuted."""
    of_members: ClassVar[bool] = False
    """Whether it is of all that a learner's `predictive` says, noise and all, by `of_predictive`, not of its mean."""

    @abc.abstractmethod
    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        """[k] numbers of one episode; pure, and fit for `vmap`.

        Args:
            outputs: What `predict` returned for `batch.x`.
            batch: The query, with its mask.
        """

    def of_predictive(self, predictive: Predictive, batch: Batch) -> Tensor:
        """`of`, for a score that is `of_members`."""
        raise TypeError(f"{type(self).__name__} is of the mean of a predictive: ask `of`")

    @abc.abstractmethod
    def total(self, scores: Tensor) -> float:
        """What [episodes, k] numbers amount to."""

    def interval(self, scores: Tensor) -> Interval:
        """The total of [episodes, k] numbers with its 95% interval: a seeded bootstrap over episodes."""
        return intervals.bootstrap(self.total, scores, intervals.SHARES if self.percent else None)

    def difference(self, scores: Tensor, reference: Tensor) -> Interval:
        """The total of `scores` minus that of `reference`, drawing the same episodes for both.

        Raises:
            InputError: The two were not measured on the same number of episodes.
        """
        _refuse_unpaired(scores, reference)
        k = scores.shape[1]
        both = torch.cat([scores, reference], 1)
        return intervals.bootstrap(lambda rows: self.total(rows[:, :k]) - self.total(rows[:, k:]), both)

    def interval_of_mean(self, runs: Sequence[Tensor]) -> Interval:
        """The mean of the totals of several trainings on the same episodes, with its 95% interval over these.

        Args:
            runs: [episodes, k] numbers of each.
        """
        return intervals.bootstrap(self._mean_total, torch.stack(list(runs), 1))

    def difference_of_means(self, runs: Sequence[Tensor], reference: Sequence[Tensor]) -> Interval:
        """`interval_of_mean` of the runs minus that of the reference, drawing the same episodes for both.

        Raises:
            InputError: They were not measured on the same number of episodes.
        """
        _refuse_unpaired(runs[0], reference[0])
        both, count = torch.stack([*runs, *reference], 1), len(runs)
        return intervals.bootstrap(
            lambda rows: self._mean_total(rows[:, :count]) - self._mean_total(rows[:, count:]), both
        )

    def _mean_total(self, rows: Tensor) -> float:
        """The mean of the totals of [episodes, runs, k] numbers."""
        return sum(self.total(one) for one in rows.unbind(1)) / rows.shape[1]

    @property
    def factor(self) -> float:
        """What numbers are multiplied by to be printed."""
        return 100.0 if self.percent else 1.0

    @property
    def label(self) -> str:
        """Title and unit, as axes have them."""
        unit = "%" if self.percent else self.unit
        return f"{self.title} ({unit})" if unit else self.title

    def better(self, total: float) -> float:
        """`total` with the sign that makes more better; the worst where it is NaN."""
        if total != total:
            return float("-inf")
        return total if self.higher_is_better else -total


class Mean(Score):
    """A score of one number an episode, whose total is the mean; the usual interval holds."""

    def total(self, scores: Tensor) -> float:
        return self.interval(scores).mean

    def interval(self, scores: Tensor) -> Interval:
        """Mean, and 1.96 standard errors over episodes; of shares that are all equal, an exact one."""
        return intervals.interval(scores.squeeze(1), intervals.SHARES if self.percent else None)

    def difference(self, scores: Tensor, reference: Tensor) -> Interval:
        _refuse_unpaired(scores, reference)
        return intervals.difference(scores.squeeze(1), reference.squeeze(1))

    def interval_of_mean(self, runs: Sequence[Tensor]) -> Interval:
        return self.interval(_mean(runs))

    def difference_of_means(self, runs: Sequence[Tensor], reference: Sequence[Tensor]) -> Interval:
        return self.difference(_mean(runs), _mean(reference))


def _mean(runs: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(runs)).mean(0)


def _refuse_unpaired(scores: Tensor, reference: Tensor) -> None:
    if scores.shape != reference.shape:
        raise InputError(f"paired scores need the same tasks, got {len(scores)} and {len(reference)}")
