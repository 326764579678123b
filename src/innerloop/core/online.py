"""Learning on a stream: a state that is begun once, and moved on by every batch that arrives."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.learner import EpisodicClassifier, mask_absent
from innerloop.core.model import Model
from innerloop.core.objectives import membership, weights
from innerloop.core.types import Batch, Params

State = TypeVar("State")


@dataclass(frozen=True, kw_only=True)
class OnlineLearner(EpisodicClassifier[State], Generic[State]):
    """A learner that sees its examples once, as they arrive, and may be asked at any time.

    `State` is a tree of tensors that holds all that it knows: weights, a memory, counts, the step. It is what a stream
    is resumed from. Nothing is drawn but from the key in it.

    `adapt` is the fold of `observe` over the rows of a support, in their order; all at once where that does not matter.
    So online learning itself is meta-trained by the engine, where a learner has something to meta-train; a baseline
    needs no training at all.
    """

    ordered: ClassVar[bool] = True
    incremental: ClassVar[bool] = True
    controls: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Fields that take away what it is about, by what it is without: it is measured beside these on a stream."""

    @property
    def needs_boundaries(self) -> bool:
        """Whether it learns something at the ends of tasks alone, so that a stream has to tell them."""
        return False

    @abc.abstractmethod
    def begin(self, params: Params, like: Batch) -> State:
        """What is known before anything is seen.

        Args:
            params: Meta-parameters.
            like: A batch of which the shape of a row, the number of `classes` and the `key` are read, nothing else.
        """

    def seen(self, params: Params, batch: Batch) -> Batch:
        """What `step` reads of a batch, where that can be computed for all rows at once: features, here the rows."""
        return batch

    @abc.abstractmethod
    def step(self, params: Params, state: State, batch: Batch) -> State:
        """What is known after rows that `seen` gave, all of them at once; rows that `mask` calls padding weigh 0."""

    def boundary(self, params: Params, state: State) -> State:
        """What is known once a task has ended, where a stream tells it."""
        return state

    def observe(self, params: Params, state: State, batch: Batch) -> State:
        """What is known after a batch of a stream; one without real rows changes nothing."""
        return self._kept(params, state, self.seen(params, batch))

    def adapt(self, params: Params, support: Batch) -> State:
        return self._fold(params, self.begin(params, support), support)

    def update(self, params: Params, adapted: State, more: Batch) -> State:
        return self._fold(params, adapted, more)

    def _fold(self, params: Params, state: State, batch: Batch) -> State:
        rows = self.seen(params, batch)
        if not self.ordered:
            return self._kept(params, state, rows)
        for i in range(len(rows.y)):
            state = self._kept(params, state, row(rows, i))
        return state

    def _kept(self, params: Params, state: State, batch: Batch) -> State:
        moved = self.step(params, state, batch)
        if batch.mask is None:
            return moved
        real = weights(batch.y, batch.mask).any()
        return tree.map(lambda new, old: torch.where(real, new, old), moved, state)


def row(batch: Batch, i: int) -> Batch:
    """Row i as a batch; the classes and the key are those of the whole."""
    rows = Batch(batch.x, batch.y, batch.mask, None, None, batch.weight)
    return tree.slice(rows, slice(i, i + 1))._replace(classes=batch.classes, key=batch.key)


def counted(counts: Tensor, batch: Batch) -> Tensor:
    """[ways] rows of each class that were seen, with those of a batch; as they were where targets are values."""
    if batch.y.is_floating_point():
        return counts
    return counts + membership(batch.y, len(counts), batch.mask, counts.dtype).sum(0)


def refuse_batch_norms(model: Model) -> None:
    """Let no network see rows of a stream that cannot see them one by one.

    Raises:
        InputError: It has batch norms.
    """
    if model.norm_weights():
        raise InputError(
            "a network with batch norms needs the statistics of many rows, and on a stream rows arrive one by one: "
            "take one without, such as Conv4(norm=False) or MLP"
        )


def no_counts(model: Model, params: Params, like: Batch) -> Tensor:
    """[outputs] zeros: no row of any class was seen; [0] where targets are values.

    Args:
        model: x -> outputs.
        params: Its parameters.
        like: As of `OnlineLearner.begin`.

    Raises:
        InputError: The network has batch norms.
    """
    refuse_batch_norms(model)
    if like.y.is_floating_point():
        return like.y.new_zeros(0)
    return like.y.new_zeros(model.apply(params, tree.slice(like.x, slice(0, 1))).shape[1])


def among_seen(outputs: Tensor, counts: Tensor) -> Tensor:
    """[n, ways] logits with those of classes never seen below all others; values, and before any row, as they are."""
    if not len(counts):
        return outputs
    seen = counts > 0
    return mask_absent(outputs, seen | ~seen.any())
