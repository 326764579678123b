"""A small stream of digits and a learner for it, and a stream in which something is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from innerloop.core.types import Batch
from innerloop.learners.online.fine_tune_online import FineTuneOnline
from innerloop.nn.mlp import MLP
from innerloop.tasks import datasets
from innerloop.tasks.class_stream import ClassStream
from innerloop.tasks.joined import joined
from innerloop.tasks.stream import Stream

LEARNER = FineTuneOnline(model=MLP(inputs=64, hidden=(16,), outputs=10))


def digits(**options) -> ClassStream:
    """Five tasks of two digits, seven rows at a time."""
    usual: dict[str, Any] = {"classes_per_task": 2, "rows": 12, "batch_size": 7}
    return ClassStream(pool=joined(datasets.load("digits")), **usual | options)


@dataclass(frozen=True, kw_only=True, eq=False)
class Broken(Stream):
    """A stream whose row `row` of batch `batch` is another one."""

    inner: Stream
    batch: int
    row: int
    x: Any = None
    y: int | None = None

    @property
    def ends(self) -> Sequence[int]:
        return self.inner.ends

    @property
    def room(self) -> int:
        return self.inner.room

    def drawn(self, first: int, count: int) -> Batch:
        batch: Any
        batch, i = self.inner.drawn(first, count), self.batch - first
        if 0 <= i < count and self.x is not None:
            batch.x[i, self.row, 0, 3, 3] = self.x
        if 0 <= i < count and self.y is not None:
            batch.y[i, self.row] = self.y
        return batch

    def held_out(self, task: int) -> Batch:
        return self.inner.held_out(task)

    def describe(self) -> dict[str, object]:
        return self.inner.describe()


def widened(learner: FineTuneOnline, outputs: int) -> FineTuneOnline:
    """The learner with a head for so many classes."""
    return replace(learner, model=MLP(inputs=64, hidden=(16,), outputs=outputs))
