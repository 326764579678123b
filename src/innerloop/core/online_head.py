"""A linear head that learns online over features that stay as they are: what OML and ANML share."""

import abc
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.learner import mask_absent
from innerloop.core.linalg import with_ones
from innerloop.core.model import Model
from innerloop.core.networks import FEATURES, OUTPUTS, Encoder, Rows, role
from innerloop.core.objectives import membership, weights
from innerloop.core.online import OnlineLearner, among_seen, counted, refuse_batch_norms
from innerloop.core.prototypes import ways
from innerloop.core.ranges import Rate
from innerloop.core.types import Batch, Metrics, Params


class Head(NamedTuple):
    """A row of weights for every class, the bias at its end."""

    weight: Tensor  # [ways, d + 1]
    start: Tensor  # [d + 1] the row of every class that was not seen
    counts: Tensor  # [ways] rows of each class that were seen


@dataclass(frozen=True, kw_only=True)
class OnlineHead(OnlineLearner[Head]):
    """Learning is one step of gradient descent on the head for every batch; features are computed once, for all rows.

    The cross-entropy is that among the classes seen so far and one row for all others, so that neither how many there
    will be nor how many there were in meta-training matters. A class begins at that row, the mean of the slow head,
    when it is first seen, and never before: labels cannot be memorised.

    Parameters: `encoder.*`, and the slow head `head.*`. Where tasks have the labels of all of meta-training, the slow
    head answers for the classes that a task did not show: it asks for them to see that they are not disturbed.
    """

    encoder: Model = field(metadata=role(Encoder(alone=True)))
    """x -> features [n, d]."""
    head: Model = field(metadata=role(Rows(FEATURES, OUTPUTS)))
    """features -> logits, one linear layer."""
    inner_lr: Rate = 0.1
    """Step size of the head."""

    def init(self, seed: int) -> Params:
        refuse_batch_norms(self.encoder)
        return tree.join(encoder=self.encoder.init(seed), head=self.head.init(seed))

    @abc.abstractmethod
    def features(self, params: Params, x: Tensor | dict[str, Tensor]) -> Tensor:
        """[n, d] of [n, ...] inputs; online steps never change them."""

    def begin(self, params: Params, like: Batch) -> Head:
        start = linear_rows(params).mean(0)
        return Head(start.expand(ways(like), -1), start, start.new_zeros(ways(like)))

    def seen(self, params: Params, batch: Batch) -> Batch:
        return batch._replace(x=with_ones(self.features(params, batch.x)))

    def step(self, params: Params, state: Head, batch: Batch) -> Head:
        x = batch.x
        assert isinstance(x, Tensor)
        counts = counted(state.counts, batch)
        logits = (x @ state.weight.T).masked_fill(counts == 0, -torch.inf)
        p = torch.cat([logits, (x @ state.start)[:, None]], 1).softmax(1)[:, :-1]  # [n, ways]
        rows = weights(batch.y, batch.mask).to(x.dtype)
        error = (p - membership(batch.y, len(counts), batch.mask, x.dtype)) * rows[:, None] / rows.sum().clamp_min(1)
        # Written out: to differentiate a gradient that autograd took costs four times as much.
        return Head(state.weight - self.inner_lr * error.T @ x, state.start, counts)

    def predict(self, params: Params, adapted: Head, x: Tensor | dict[str, Tensor]) -> Tensor:
        return among_seen(with_ones(self.features(params, x)) @ adapted.weight.T, adapted.counts)

    def query_loss(self, params: Params, adapted: Head, query: Batch) -> tuple[Tensor, Metrics]:
        slow = linear_rows(params)
        if len(slow) != len(adapted.counts):
            return super().query_loss(params, adapted, query)
        rows = torch.where(adapted.counts[:, None] > 0, adapted.weight, slow)
        outputs = mask_absent(with_ones(self.features(params, query.x)) @ rows.T, query.classes)
        return self.objective(outputs, query.y, query.mask), self.logged(outputs, query)


def linear_rows(params: Params) -> Tensor:
    """[outputs, d + 1] rows of a head that is one linear layer, `head.*`, with its bias at the end.

    Raises:
        InputError: It is something else.
    """
    head = list(tree.part(params, "head").values())
    if [v.ndim for v in head] != [2, 1]:
        raise InputError("the head must be one linear layer with a bias, such as Linear(inputs=64, outputs=5)")
    return torch.cat([head[0], head[1][:, None]], 1)
