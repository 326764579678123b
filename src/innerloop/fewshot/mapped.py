"""A head behind the map that a run has learned: rows as the run's encoder turns them, and another learner on these."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.learner import EpisodicClassifier, Learner
from innerloop.core.model import Model
from innerloop.core.types import Batch, Params


class Learned(NamedTuple):
    """What a head knows of a task, and the map that it sees rows through."""

    head: Any
    encoder: Params


@dataclass(frozen=True, kw_only=True)
class OnMap(EpisodicClassifier[Learned]):
    """A head on what the encoder of a run's learner makes of rows; parameters are the run's, and stay as they are."""

    run: Learner
    """The run's own learner, which has the encoder."""
    head: Learner
    """What is fitted to the rows that it makes; it has no parameters."""

    @property
    def encoder(self) -> Model:
        """The map."""
        return _encoder(self.run)

    @property
    def weighs(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the head does."""
        return self.head.weighs

    @property
    def incremental(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the head is."""
        return self.head.incremental

    def init(self, seed: int) -> Params:
        return self.run.init(seed)

    def adapt(self, params: Params, support: Batch) -> Learned:
        own = encoder_params(self.run, params)
        return Learned(self.head.adapt({}, self._mapped(own, support)), own)

    def update(self, params: Params, adapted: Learned, more: Batch) -> Learned:
        return adapted._replace(head=self.head.update({}, adapted.head, self._mapped(adapted.encoder, more)))

    def predict(self, params: Params, adapted: Learned, x: Tensor | dict[str, Tensor]) -> Tensor:
        return self.head.predict({}, adapted.head, self.encoder.apply(adapted.encoder, x))

    def _mapped(self, own: Params, batch: Batch) -> Batch:
        return batch._replace(x=self.encoder.apply(own, batch.x))


class Map(NamedTuple):
    """What a run has learned to make of rows, behind which heads fit."""

    run: Learner
    params: Params
    """All of the run's."""

    @torch.no_grad()
    def rows(self, x: Tensor) -> Tensor:
        """[n, d] of [n, ...] rows."""
        return _encoder(self.run).apply(encoder_params(self.run, self.params), x)

    def behind(self, head: Learner) -> OnMap:
        """A head as a learner of the run's rows."""
        return OnMap(run=self.run, head=head)


def map_of(learner: Learner, params: Params) -> Map | None:
    """The map of a run's learner, perhaps one behind which a head was put already; None: there is none for heads.

    A norm sees the support as a whole: what it makes of an example depends on the others, which no head expects.
    """
    run = learner.run if isinstance(learner, OnMap) else learner
    encoder = getattr(run, "encoder", None)
    if not isinstance(encoder, Model) or encoder.norm_weights():
        return None
    return Map(run, params) if encoder_params(run, params) else None


def _encoder(run: Learner) -> Model:
    encoder = getattr(run, "encoder", None)
    if not isinstance(encoder, Model):
        raise ValueError(f"{type(run).__name__} has no encoder for a head to be put behind")
    return encoder


def encoder_params(run: Learner, params: Params) -> Params:
    """The encoder's parameters among those of its learner, which most learners have no others than; {}: not there."""
    names = _encoder(run).init(0).keys()
    parts = params if names <= params.keys() else tree.part(params, "encoder")
    return {name: parts[name] for name in names} if names <= parts.keys() else {}
