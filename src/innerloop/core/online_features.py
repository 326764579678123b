"""What learners share that keep sums of features along a stream, exact under every order of arrival."""

from dataclasses import dataclass, field
from typing import Generic

from torch import Tensor

from innerloop.core.model import Model
from innerloop.core.networks import Encoder, role
from innerloop.core.online import OnlineLearner, State, refuse_batch_norms
from innerloop.core.prototypes import flat
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.types import Batch, Params


@dataclass(frozen=True, kw_only=True)
class OnFeatures(OnlineLearner[State], Generic[State]):
    """A learner over raw inputs, or the features of an encoder that stays as it is. Parameters are the encoder's."""

    sensible = by_kind(classes=Sensible(network={"network": "none"}, train={"steps": 0}))
    ordered = False
    weighs = True

    encoder: Model | None = field(default=None, metadata=role(Encoder(alone=True)))
    """x -> features [n, d]; None: the raw inputs, flattened."""

    def init(self, seed: int) -> Params:
        return {} if self.encoder is None else self.encoder.init(seed)

    def seen(self, params: Params, batch: Batch) -> Batch:
        return batch._replace(x=self.features(params, batch.x))

    def features(self, params: Params, x: Tensor | dict[str, Tensor]) -> Tensor:
        """[n, d]."""
        if self.encoder is None:
            return flat(x)
        refuse_batch_norms(self.encoder)
        return self.encoder.apply(params, x)

    def rows(self, batch: Batch) -> Tensor:
        """[n, d] the features that `seen` put into a batch."""
        assert isinstance(batch.x, Tensor)
        return batch.x
