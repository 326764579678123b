"""A stream: batches that arrive one after another and are seen once, of tasks that follow each other."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass

from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Count
from innerloop.core.types import Batch


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream(Checked, abc.ABC):
    """Batch i is a function of `(seed, i)` alone: a stream is resumed anywhere, and two learners see the same one.

    Classes have one id in the whole stream, and appear when they appear; `room` is how many there will be, the rows
    that a head needs. 0: targets are values.
    """

    seed: int = 0
    batch_size: Count = 10

    @property
    @abc.abstractmethod
    def ends(self) -> Sequence[int]:
        """[visits] how many batches have been seen when each task has ended; the last is the length of the stream.

        Tasks 0, 1, ... in turn, and again from 0 where they come again; a single end where all of them are mixed.
        """

    @property
    @abc.abstractmethod
    def room(self) -> int:
        """How many classes there will be; 0: targets are values."""

    @property
    def tasks(self) -> int:
        """How many tasks there are to be measured on."""
        return len(self.ends)

    @property
    def told(self) -> bool:
        """Whether a learner is told where tasks end; their ends are known to who measures in either case."""
        return True

    @property
    def anew(self) -> bool:
        """Whether every task is a round that is learned anew, after which nobody asks for the ones before."""
        return False

    def __len__(self) -> int:
        return self.ends[-1]

    def batches(self, first: int, count: int) -> Batch:
        """Batches `first .. first + count - 1`, stacked along a leading axis; with `classes` [room] and a `key` each.

        Raises:
            InputError: The stream is shorter.
        """
        if first < 0 or first + count > len(self):
            raise InputError(f"the stream has {len(self)} batches: {first} to {first + count - 1} are not all there")
        return self.drawn(first, count)

    @abc.abstractmethod
    def drawn(self, first: int, count: int) -> Batch:
        """As `batches`, of numbers that are there."""

    @abc.abstractmethod
    def held_out(self, task: int) -> Batch:
        """Rows of a task that never arrive, on which it is measured."""

    @abc.abstractmethod
    def describe(self) -> dict[str, object]:
        """What arrives, in plain JSON values, with `score` as of a sampler; see `core.types.Sampler`."""
