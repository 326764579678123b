"""How well what is known answers the held-out rows of every task."""

import math
from typing import Any

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.learner import Learner
from innerloop.core.scores import measured, named
from innerloop.core.types import Batch, Params
from innerloop.tasks.stream import Stream

_MOST = 4096
"""Rows that are predicted at once."""


class HeldOut:
    """The held-out rows of all tasks of a stream.

    Args:
        stream: Whose.
    """

    def __init__(self, stream: Stream):
        self.tasks = [stream.held_out(task) for task in range(stream.tasks)]
        self.score = named(stream.describe().get("score"))
        x = [batch.x for batch in self.tasks]
        # One pass of the network for many small tasks, whose rows do not look at one another.
        self._x = tree.map(lambda *leaves: torch.cat(leaves), x[0], *x[1:])
        self._sizes = [len(batch.y) for batch in self.tasks]

    def of_all(self, learner: Learner, params: Params, state: Any) -> Tensor:
        """[tasks] float64 scores; NaN where a prediction is not finite."""
        pieces = range(0, sum(self._sizes), _MOST)
        outputs = [learner.predict(params, state, tree.slice(self._x, slice(i, i + _MOST))) for i in pieces]
        each = torch.cat(outputs).split(self._sizes)
        return torch.tensor([self._total(o, b) for o, b in zip(each, self.tasks, strict=True)], dtype=torch.float64)

    def of_one(self, learner: Learner, params: Params, state: Any, task: int) -> float:
        """The score of one task."""
        batch = self.tasks[task]
        return self._total(learner.predict(params, state, batch.x), batch)

    def _total(self, outputs: Tensor, batch: Batch) -> float:
        values = measured(self.score, outputs, batch).double()
        return math.nan if values.isnan().any() else self.score.total(values[None])
