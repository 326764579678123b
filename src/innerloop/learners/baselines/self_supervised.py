"""Contrastive pre-training without labels: SimCLR, Chen et al., ICML 2020, https://arxiv.org/abs/2002.05709.

Adaptation is the mean feature of every class; a query belongs to the nearest, by the cosine or the Euclidean distance.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.encoder_learner import EncoderLearner, Means
from innerloop.core.learner import mask_absent
from innerloop.core.model import Model
from innerloop.core.networks import FEATURES, Rows, role
from innerloop.core.objectives import ABSENT, mean, normalize, weights
from innerloop.core.prototypes import centroids, cosine, squared_distance
from innerloop.core.ranges import Positive
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.types import Batch, Episode, Metrics, Params, joined

Distance = Literal["cosine", "euclidean"]


@dataclass(frozen=True, kw_only=True)
class SelfSupervised(EncoderLearner[Means]):
    """`loss` is NT-Xent over the rows of support and query together; rows with equal labels are views of one picture.

    That is what `tasks.UnsupervisedSampler` makes, with one shot and one query of many pictures. Where an example has
    several other views, the mean over them is taken (Khosla et al. 2020); given true labels, it is their loss.
    Parameters: `encoder.*`, and `projection.*` of the head that is only trained through.
    """

    trains_on = ("episodes",)
    queries_apart = False  # every view is told from all others
    sensible = by_kind(
        classes=Sensible(
            task={"train_ways": 64, "train_shots": 1, "queries": 1, "unsupervised": True}, train={"meta_batch_size": 1}
        ),
    )

    low_precision = True

    projection: Model | None = field(default=None, metadata=role(Rows(FEATURES, FEATURES, hidden=(FEATURES,))))
    """features -> [n, p], which are compared in training, such as `nn.mlp.MLP(d, (d,), d)`; None: the features."""
    temperature: Positive = 0.2
    """What cosines are divided by."""
    distance: Distance = "cosine"
    """Between a query and the class means, in adaptation."""

    def init(self, seed: int) -> Params:
        parts = {"encoder": self.encoder.init(seed)}
        if self.projection is not None:
            parts["projection"] = self.projection.init(seed)
        return tree.join(**parts)

    def adapt(self, params: Params, support: Batch) -> Means:
        features, encoder = self.features(tree.part(params, "encoder"), support)
        if self.distance == "cosine":
            features = normalize(features)
        return Means(centroids(features, support), encoder)

    def predict(self, params: Params, adapted: Means, x: Tensor | dict[str, Tensor]) -> Tensor:
        features = self.encoder.apply(adapted.encoder, x)
        means, counts = adapted.centroids
        if self.distance == "cosine":
            logits = cosine(features, means) / self.temperature
        else:
            logits = -squared_distance(features, means)
        return mask_absent(logits, counts > 0)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        rows = joined(episode.support, episode.query)
        views = self.encoder.apply(tree.part(params, "encoder"), rows.x, rows.mask)
        if self.projection is not None:
            views = self.projection.apply(tree.part(params, "projection"), views, rows.mask)
        loss, accuracy = nt_xent(views, rows.y, rows.mask, self.temperature)
        return loss, {"score": accuracy.detach()}


def nt_xent(views: Tensor, y: Tensor, mask: Tensor | None, temperature: Positive) -> tuple[Tensor, Tensor]:
    """Normalised temperature-scaled cross-entropy: every view is to find the others with its label among all.

    Args:
        views: [n, p].
        y: [n] which picture; -1: none, the row does not count.
        mask: [n] bool, which rows are real; None: all.
        temperature: What cosines are divided by.

    Returns:
        The loss, and the share of views to which one with their own label is nearest.
    """
    real = weights(y, mask)
    others = real & ~torch.eye(len(y), dtype=torch.bool, device=y.device)  # [n, n], never a row itself
    log_p = torch.log_softmax((cosine(views, views) / temperature).masked_fill(~others, ABSENT), -1)
    positive = ((y[:, None] == y) & others).to(log_p.dtype)
    count = positive.sum(1)
    rows = real & (count > 0)
    right = positive.gather(1, log_p.argmax(1, keepdim=True))[:, 0]
    return mean(-(log_p * positive).sum(1) / count.clamp_min(1), rows), mean(right, rows)
