"""What learners share that move the weights of a network along a stream."""

from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from torch import Tensor

from innerloop.core.inner import Loss
from innerloop.core.model import Model
from innerloop.core.networks import Whole, role
from innerloop.core.online import OnlineLearner, among_seen
from innerloop.core.types import Batch, Params


class Moved(Protocol):
    """A state with the network as it is now."""

    @property
    def weights(self) -> Params:
        """Its parameters."""
        ...

    @property
    def counts(self) -> Tensor:
        """[ways] rows of each class that were seen; [0] for values."""
        ...


State = TypeVar("State", bound=Moved)


@dataclass(frozen=True, kw_only=True)
class OnlineWeights(OnlineLearner[State], Generic[State]):
    """A learner that descends on what arrives; rows of its head whose class was never seen answer for nothing."""

    targets = ("classes", "values")

    model: Model = field(metadata=role(Whole(alone=True)))
    """x -> outputs."""

    def init(self, seed: int) -> Params:
        return self.model.init(seed)

    def loss_on(self, batch: Batch) -> Loss:
        """The objective on a batch as a function of the weights."""
        return lambda weights: (self.objective(self.model.apply(weights, batch.x), batch.y, batch.mask), {})

    def predict(self, params: Params, adapted: State, x: Tensor | dict[str, Tensor]) -> Tensor:
        return among_seen(self.model.apply(adapted.weights, x), adapted.counts)
