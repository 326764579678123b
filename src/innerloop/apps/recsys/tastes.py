"""What a run knows of a person's taste: ratings by a linear model that says how sure it is, or what is taken next."""

from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.aligned import from_numpy
from innerloop.core.types import Batch, Params
from innerloop.learners.closed_form.alpaca import ALPaCA, Posterior, solved
from innerloop.learners.gradient.anil import ANIL
from innerloop.tasks import draws
from innerloop.tasks.ratings.behaviour import BehaviourSampler, absent, chances
from innerloop.tasks.ratings.encoding import Encoding

_SEED = 0


class Taste(Protocol):
    """A learner in use, on all items of an encoding."""

    @property
    def vectors(self) -> Tensor:
        """[items, d] whose cosine says how alike two items are."""
        ...

    def adapt(self, at: np.ndarray, values: Tensor) -> Any:
        """What is known of somebody by the items at these positions, whose [n] values are."""
        ...

    def scores(self, adapted: Any) -> Tensor:
        """[items] what they are ordered by: a foreseen rating, or a logit."""
        ...

    def shares(self, adapted: Any, at: list[int], values: Tensor, items: Tensor) -> Tensor:
        """[items, n] how much each item that somebody told of speaks for each of these."""
        ...

    def answer(self, adapted: Any, inputs: dict[str, Tensor]) -> Tensor:
        """[n] as `scores`, of any inputs."""
        ...


class _Items(NamedTuple):
    head: Tensor  # [items]
    basis: Tensor  # [items, b]


class Linear:
    """Ratings by `alpaca`: shares add up to all that somebody's ratings changed."""

    def __init__(self, learner: ALPaCA, params: Params, encoding: Encoding):
        """Use a learner as trained, with its meta-parameters and what meta-training knows of items."""
        self._learner, self._params, self._encoding = learner, params, encoding

    @cached_property
    def known(self) -> _Items:
        """What is the same for everybody, once for all items: the head's answers, and the basis."""
        with torch.no_grad():
            params, learner = self._params, self._learner
            features = learner.encoder.apply(tree.part(params, "encoder"), _inputs(self._encoding))
            head = learner.head.apply(tree.part(params, "head"), features)[:, 0]
            return _Items(head, learner.basis.apply(tree.part(params, "basis"), features))

    @property
    def noise(self) -> float:
        """Deviation of a rating around what the weights say."""
        return float(self._params["log_sigma"].exp())

    @property
    def vectors(self) -> Tensor:
        """See `Taste`."""
        return self.known.basis - self.known.basis.mean(0)

    def adapt(self, at: np.ndarray, values: Tensor) -> Posterior:
        """See `Taste`."""
        with torch.no_grad():
            return self._learner.adapt(self._params, Batch(_inputs(self._encoding, at), values.float()[:, None]))

    def scores(self, adapted: Posterior) -> Tensor:
        """See `Taste`."""
        return self.known.head + (self.known.basis @ solved(adapted))[:, 0]

    def deviations(self, adapted: Posterior) -> Tensor:
        """[items] how far each rating may be from what is foreseen."""
        half = torch.linalg.solve_triangular(torch.linalg.cholesky(adapted.precision), self.known.basis.T, upper=False)
        return (half.square().sum(0) + self.noise**2).sqrt()

    def shares(self, adapted: Posterior, at: list[int], values: Tensor, items: Tensor) -> Tensor:
        """See `Taste`."""
        left = values.float() - self.known.head[at]
        weights = torch.linalg.solve(adapted.precision, self.known.basis[at].T * left / self.noise**2)  # [b, n]
        return self.known.basis[items] @ weights

    def answer(self, adapted: Posterior, inputs: dict[str, Tensor]) -> Tensor:
        """See `Taste`."""
        with torch.no_grad():
            return self._learner.predict(self._params, adapted, inputs)[:, 0]


class Behaviour:
    """What is taken next by `anil`, beside a draw of items that were not; shares are cosines of learned features."""

    def __init__(self, learner: ANIL, params: Params, encoding: Encoding):
        """Use a learner as trained, with its meta-parameters and what meta-training knows of items."""
        self._learner, self._params, self._encoding = learner, params, encoding

    @cached_property
    def _features(self) -> Tensor:
        with torch.no_grad():
            return self._learner.encoder.apply(tree.part(self._params, "encoder"), _inputs(self._encoding))

    @property
    def vectors(self) -> Tensor:
        """See `Taste`."""
        own = self._features[:, :-1]  # without how popular they are
        return own - own.mean(0)

    def adapt(self, at: np.ndarray, values: Tensor) -> Any:
        """See `Taste`; the draw is the same for everybody who told the same."""
        count = BehaviourSampler.negatives
        others = absent(chances(self._encoding), at, count, draws.keys(_SEED, 0, 1))
        inputs = _inputs(self._encoding, np.concatenate([at, others.items]))
        inputs["log_q"] = from_numpy(np.concatenate([np.zeros(len(at)), others.log_q]).astype(np.float32))
        y = torch.cat([torch.ones(len(at)), torch.zeros(count)])[:, None]
        return self._learner.adapt(self._params, Batch(inputs, y))

    def scores(self, adapted: Any) -> Tensor:
        """See `Taste`."""
        with torch.no_grad():
            return self._learner.head.apply(adapted.head, self._features)[:, 0]

    def shares(self, adapted: Any, at: list[int], values: Tensor, items: Tensor) -> Tensor:
        """See `Taste`."""
        units = torch.nn.functional.normalize(self.vectors, dim=1)
        return units[items] @ units[at].T

    def answer(self, adapted: Any, inputs: dict[str, Tensor]) -> Tensor:
        """See `Taste`."""
        with torch.no_grad():
            return self._learner.predict(self._params, adapted, inputs)[:, 0]


def _inputs(encoding: Encoding, at: np.ndarray | None = None) -> dict[str, Tensor]:
    items = np.arange(len(encoding.counts)) if at is None else at
    return {name: from_numpy(rows) for name, rows in encoding.rows(None, items).items()}
