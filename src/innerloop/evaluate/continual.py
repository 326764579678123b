"""What the matrix R of a stream says: R[i, j] is the score on held-out rows of task j after i tasks, R[0] untrained.

Definitions of Lopez-Paz and Ranzato (NeurIPS 2017, https://arxiv.org/abs/1706.08840) and, of forgetting, Chaudhry and
others (ICLR 2019, https://arxiv.org/abs/1812.00420). Papers and their code divide by different numbers of tasks: each
figure says what it was divided by.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.scores import Score
from innerloop.evaluate.result import finite


class Figure(NamedTuple):
    """A mean over tasks."""

    name: str
    value: float
    """NaN where the stream does not define it: without tasks one after another, or with a single one."""
    over: int
    """How many tasks it is the mean of."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"value": finite(self.value), "over": self.over}


MEANINGS = {
    "ACC": "score at the end, over all tasks",
    "LA": "score of every task when it had just been learned",
    "BWT": "gain of a task from its own end to the end of the stream; below 0: forgetting (GEM's code divides by all "
    "tasks)",
    "FWT": "gain of a task before it came over the untrained learner, without the first (GEM's code divides by all "
    "tasks)",
    "forgetting": "loss at the end against the best there was, without the last task",
}
"""What figures are."""


def figures(matrix: Tensor, score: Score) -> dict[str, Figure]:
    """Figures of a stream by their names; gains are positive where the score became better.

    Args:
        matrix: [1 + ends, tasks]: R.
        score: Of its entries.

    Raises:
        InputError: It has other rows than an end a visit of a task, or a single one.
    """
    rows, tasks = matrix.shape
    ends = rows - 1
    if ends != 1 and ends % tasks:
        raise InputError(f"a matrix of {tasks} tasks has a row for the start and one an end of each, got {rows} rows")
    sign, last = 1 if score.higher_is_better else -1, matrix[-1]
    values = dict.fromkeys(MEANINGS, last[:0]) | {"ACC": last}
    if ends >= tasks:  # otherwise all of them were mixed, and none came after another
        task = torch.arange(tasks)
        learned = matrix[1 + task, task]
        # The last task has had no time to be forgotten, unless others came after it once more.
        old = slice(None) if ends > tasks else slice(-1)
        values["LA"] = learned
        values["BWT"] = sign * (last - learned)[old]
        values["FWT"] = sign * (matrix[task, task] - matrix[0])[1:]
        if ends > 1:
            values["forgetting"] = ((sign * matrix[1:-1]).amax(0) - sign * last)[old]
    return {name: Figure(name, value.mean().item(), len(value)) for name, value in values.items()}


class Regret(NamedTuple):
    """What was lost in every round against the best in hindsight."""

    rounds: tuple[float, ...]
    mean: float
    slope: float
    """Least squares, a round; below 0: learning becomes faster. NaN of a single round."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"rounds": list(self.rounds), "mean": finite(self.mean), "slope": finite(self.slope)}


def regret(scores: Sequence[float], reference: Sequence[float], score: Score) -> Regret:
    """How much worse each task was, when it had been learned, than for a reference.

    Args:
        scores: Of each round, in their order.
        reference: Of the same rounds, of one that saw everything.
        score: What they are.

    Raises:
        InputError: The rounds are not as many.
    """
    if len(scores) != len(reference) or not scores:
        raise InputError(f"regret needs the same rounds of both, got {len(scores)} and {len(reference)}")
    sign = 1 if score.higher_is_better else -1
    lost = sign * (torch.tensor(reference, dtype=torch.float64) - torch.tensor(scores, dtype=torch.float64))
    rounds = torch.arange(len(lost), dtype=torch.float64)
    away = rounds - rounds.mean()
    slope = (away @ lost / (away @ away)).item() if len(lost) > 1 else math.nan
    return Regret(tuple(lost.tolist()), lost.mean().item(), slope)


def proficiency(curve: Sequence[tuple[int, float]], threshold: float, score: Score) -> int | None:
    """How many examples of a task it took until its score reached a threshold; None: it never did.

    Args:
        curve: Examples seen and the score then, in their order.
        threshold: To be reached.
        score: What it is.
    """
    return next((rows for rows, value in curve if score.better(value) >= score.better(threshold)), None)
