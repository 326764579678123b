"""Learners that are incremental, on a stream: what they know grows by every batch, as a served classifier's does."""

from dataclasses import dataclass
from typing import Generic

import torch

from innerloop.core.errors import InputError
from innerloop.core.model import Model
from innerloop.core.networks import network_fields
from innerloop.core.online import OnlineLearner, State, refuse_batch_norms
from innerloop.core.types import Batch, Params
from innerloop.core.wrapper import Wrapper


@dataclass(frozen=True, kw_only=True)
class Incremental(Wrapper[State], OnlineLearner[State], Generic[State]):
    """A learner with `incremental = True`, such as `gaussian_memory`, as an `OnlineLearner`: so it stands beside them.

    What is known before the first row is what it knows of a support of padding alone.
    """

    def __post_init__(self) -> None:
        if not self.learner.incremental:
            raise InputError(
                f"{type(self.learner).__name__} is not incremental as it is, so it cannot learn on a stream: take one "
                "that is, such as gaussian_memory, or protonet with a network without batch norms"
            )
        for name in network_fields(type(self.learner)):
            network = getattr(self.learner, name)
            if isinstance(network, Model):
                refuse_batch_norms(network)

    def begin(self, params: Params, like: Batch) -> State:
        return self.inner.adapt(params, like._replace(mask=torch.zeros_like(like.y, dtype=torch.bool)))

    def step(self, params: Params, state: State, batch: Batch) -> State:
        return self.inner.update(params, state, batch)
