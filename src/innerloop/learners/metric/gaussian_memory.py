"""Kernel regression over learned embeddings: Nadaraya, On estimating regression, 1964, https://doi.org/10.1137/1109020.

Adaptation is writing the labelled embeddings into a memory that may grow; a query reads it with a Gaussian kernel. Of
values, the memory has what a shared head leaves over: a neighbourhood in learned space.
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from innerloop.core import scores as scores_of
from innerloop.core import tree
from innerloop.core.config import LATER
from innerloop.core.encoder_learner import EncoderClassifier
from innerloop.core.errors import InputError
from innerloop.core.learner import mask_absent
from innerloop.core.model import Model
from innerloop.core.networks import FEATURES, OUTPUTS, Rows, role
from innerloop.core.objectives import regression, weights
from innerloop.core.prototypes import labels, squared_distance, vote, ways
from innerloop.core.ranges import Count, Positive
from innerloop.core.searched import between
from innerloop.core.sensible import RATINGS, by_kind
from innerloop.core.types import Batch, Metrics, Params


class Memory(NamedTuple):
    """Slots of remembered embeddings, a fixed number of them, and how to make further ones."""

    embeddings: Tensor  # [capacity, d]
    labels: Tensor  # [capacity], -1: an empty slot; of values, 0 is a full one
    ages: Tensor  # [capacity], larger for what was written later, -1: empty
    classes: Tensor  # [ways] bool, True; its length is the number of ways
    encoder: Params
    """With the first support's statistics unless transductive."""
    left: Tensor  # [capacity, k], what the head left over of values; of classes, k is 0


@dataclass(frozen=True, kw_only=True)
class GaussianMemory(EncoderClassifier[Memory]):
    """Logits are the logarithms of the classes' shares of `sum_i w_i` with `w_i = exp(-|f(x) - m_i|^2 / sigma^2)`.

    Values, with `objective=regression`, are `head(f(x)) + sum_i w_i (y_i - head(m_i)) / (sum_i w_i + shrink)`.
    Parameters: `encoder.*`, `log_sigma`, and of values `head.*` and `log_shrink`.

    `update` embeds what it adds with the batch-norm statistics of the first support, so that what is remembered stays
    valid and costs nothing. It equals `adapt` to both together with these statistics, and exactly for an encoder
    without batch norm.
    """

    trains_on = ("episodes",)
    targets = ("classes", "values")
    sensible = by_kind(**EncoderClassifier.sensible, ratings=RATINGS)

    incremental: ClassVar[bool] = True
    low_precision = True

    sigma: Positive = field(default=4.0, metadata=between(0.5, 20.0, log=True))
    """Width of the kernel at first, in units of the features; learned."""
    capacity: Count = 1024
    """Slots; when they are full, the oldest is overwritten."""
    neighbours: Count | None = field(default=None, metadata=LATER)
    """How many embeddings of a class are in its share, those nearest to the query; None: all. With 1, classes are as
    near as their nearest example (NNShot, Yang and Katiyar 2020)."""
    head: Model | None = field(
        default=None, metadata={**LATER, **role(Rows(FEATURES, OUTPUTS, when={"objective": regression}))}
    )
    """Features -> what is foreseen of values without a memory, [n, k]."""
    shrink: Positive = field(default=1.0, metadata=LATER)
    """How much the head weighs beside the memory of values, in examples at no distance, at first; learned."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective is regression and self.head is None:
            raise InputError("GaussianMemory of values needs the network head, from features to targets")
        if self.objective is regression and self.neighbours is not None:
            raise InputError("neighbours are counted by class, and values have none: leave neighbours out")

    def init(self, seed: int) -> Params:
        params = tree.join(encoder=self.encoder.init(seed)) | {"log_sigma": torch.tensor(math.log(self.sigma))}
        if self.head is None:
            return params
        return params | tree.join(head=self.head.init(seed)) | {"log_shrink": torch.tensor(math.log(self.shrink))}

    def adapt(self, params: Params, support: Batch) -> Memory:
        if len(support.y) > self.capacity:
            raise InputError(
                f"a support of {len(support.y)} examples does not fit a memory of {self.capacity}: raise the capacity"
            )
        features, encoder = self.features(tree.part(params, "encoder"), support)
        values = support.y.is_floating_point()
        none = torch.full((self.capacity,), -1, device=features.device)
        classes = torch.ones(1 if values else ways(support), dtype=torch.bool, device=features.device)
        left = features.new_zeros(self.capacity, support.y.shape[-1] if values else 0)
        empty = Memory(features.new_zeros(self.capacity, features.shape[1]), none, none, classes, encoder, left)
        return self._written(params, empty, features, support)

    def update(self, params: Params, adapted: Memory, more: Batch) -> Memory:
        """Write more examples; a longer `classes` makes room for new ones."""
        if more.classes is not None and len(more.classes) > len(adapted.classes):
            adapted = adapted._replace(classes=torch.ones_like(more.classes))
        return self._written(params, adapted, self.encoder.apply(adapted.encoder, more.x, more.mask), more)

    def predict(self, params: Params, adapted: Memory, x: Tensor | dict[str, Tensor]) -> Tensor:
        features = self.encoder.apply(adapted.encoder, x)
        scores = -squared_distance(features, adapted.embeddings) * (-2 * params["log_sigma"]).exp()
        if adapted.left.shape[1]:
            weight = scores.exp() * (adapted.labels >= 0)  # at most 1 each: the head's weight keeps their sum from 0
            share = weight / (weight.sum(-1, keepdim=True) + params["log_shrink"].exp())
            return self._headed(params, features) + share.to(adapted.left.dtype) @ adapted.left
        number = torch.arange(len(adapted.classes), device=features.device)
        present = (adapted.labels[:, None] == number).any(0)
        if self.neighbours is None:
            return mask_absent(vote(scores, adapted.labels, len(adapted.classes)), present)
        return mask_absent(_nearest(scores, adapted.labels == number[:, None], self.neighbours), present)

    def logged(self, outputs: Tensor, query: Batch) -> Metrics:
        if query.y.is_floating_point():
            return scores_of.logged(self.objective, outputs, query)
        return super().logged(outputs, query)

    def _headed(self, params: Params, features: Tensor) -> Tensor:
        if self.head is None:
            raise InputError("GaussianMemory was built for classes: give it objective=regression and the network head")
        return self.head.apply(tree.part(params, "head"), features)

    def _written(self, params: Params, memory: Memory, features: Tensor, batch: Batch) -> Memory:
        if not memory.left.shape[1]:
            return write(memory, features, labels(batch))
        slots = torch.where(weights(batch.y, batch.mask), 0, -1)
        return write(memory, features, slots, batch.y - self._headed(params, features))


def _nearest(scores: Tensor, member: Tensor, count: int) -> Tensor:
    """[n, ways] log-probabilities of classes when only the `count` highest of [n, slots] scores of each class count.

    Args:
        scores: Of every slot for every query.
        member: [ways, slots] bool, which slots hold examples of a class.
        count: Of a class with fewer, all count.
    """
    lowest, most = torch.finfo(scores.dtype).min, min(count, scores.shape[1])
    # Class by class: all of them together would take ways times the memory.
    of_class = [scores.masked_fill(~own, lowest).topk(most).values.logsumexp(-1) for own in member]
    return torch.log_softmax(torch.stack(of_class, -1), -1)


def write(memory: Memory, embeddings: Tensor, labels: Tensor, left: Tensor | None = None) -> Memory:
    """The memory after n more rows, in their order: each goes to an empty slot, else to the oldest.

    Args:
        memory: Stays as it is.
        embeddings: [n, d].
        labels: [n] classes; rows with -1 are not written.
        left: [n, k] of values; None: of classes.
    """
    capacity, n = memory.labels.shape[0], labels.shape[0]
    real = labels >= 0
    rank = real.cumsum(0) - 1  # [n] how many rows are written before
    kept = real & (rank >= real.sum() - capacity)  # the others would be overwritten by this very call
    slots = memory.ages.argsort(stable=True)  # empty ones first, then from the oldest
    target = torch.where(kept, slots[rank.clamp_min(0) % capacity], capacity)
    own = torch.arange(capacity + 1, device=labels.device)
    source = own.scatter(0, target, capacity + torch.arange(n, device=labels.device))[:capacity]
    ages = memory.ages.max() + 1 + rank
    return memory._replace(
        embeddings=torch.cat([memory.embeddings, embeddings])[source],
        labels=torch.cat([memory.labels, labels])[source],
        ages=torch.cat([memory.ages, ages])[source],
        left=memory.left if left is None else torch.cat([memory.left, left])[source],
    )
