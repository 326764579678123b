"""Relation Networks: Sung et al., CVPR 2018, https://arxiv.org/abs/1711.06025.

Adaptation is the mean (or sum) of every class's features; a learned comparison scores a query against each.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.encoder_learner import EncoderClassifier
from innerloop.core.learner import mask_absent
from innerloop.core.model import Model
from innerloop.core.networks import Encoder, Pairs, role
from innerloop.core.objectives import Objective, mean, membership, weights
from innerloop.core.prototypes import ways
from innerloop.core.sensible import MANY_WAYS, Sensible, by_kind
from innerloop.core.types import Batch, Params


class ClassFeatures(NamedTuple):
    """What queries are compared with."""

    features: Tensor  # [ways, ...] means or sums over shots
    present: Tensor  # [ways] bool
    encoder: Params
    """This and the next with the support's statistics unless transductive."""
    relation: Params


def relation_error(logits: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
    """Squared error of the sigmoid against 1 for the own class and 0 for others: sum over classes, mean over rows."""
    target = membership(y, logits.shape[-1], mask, logits.dtype)
    return mean((torch.sigmoid(logits) - target).square().sum(-1), weights(y, mask))


@dataclass(frozen=True, kw_only=True)
class RelationNet(EncoderClassifier[ClassFeatures]):
    """Logits are relation scores before their sigmoid. Parameters: `encoder.*` and `relation.*`.

    Inductive, batch norms inside the relation module use its statistics over the support compared with the classes.
    All queries are compared with all classes at once, which takes the memory of so many pairs. The default networks pad
    every block, where the authors' code leaves the encoder's first two unpadded.
    """

    trains_on = ("episodes",)
    sensible = by_kind(
        classes=MANY_WAYS,
        # Through an MLP rows of texts are all alike at first. With 19 of 20 pairs unlike, every score then falls to
        # where its sigmoid has no slope, before any difference is seen; directions and fewer ways keep it from that.
        texts=Sensible(network={"network": "residual"}, task={"train_ways": 5}, train={"meta_batch_size": 4}),
    )

    encoder: Model = field(metadata=role(Encoder(maps=True)))
    """x -> features, [n, d] or maps [n, c, height, width]."""
    relation: Model = field(metadata=role(Pairs("encoder")))
    """Features of a class beside those of a query, [n, 2 d] or [n, 2 c, height, width] -> [n, 1]."""
    summed: bool = False
    """The paper's sum over shots. It fits only the number of shots that it was trained with; the mean fits any."""
    objective: Objective = field(default=relation_error)
    """`(outputs, y, mask) -> scalar` of the query set."""

    def init(self, seed: int) -> Params:
        return tree.join(encoder=self.encoder.init(seed), relation=self.relation.init(seed))

    def adapt(self, params: Params, support: Batch) -> ClassFeatures:
        features, encoder = self.features(tree.part(params, "encoder"), support)
        member = membership(support.y, ways(support), support.mask, features.dtype)  # [n, ways]
        counts = member.sum(0)
        classes, present = member.T @ features.flatten(1), counts > 0
        if not self.summed:
            classes = classes / counts.clamp_min(1)[:, None]
        classes = classes.unflatten(1, features.shape[1:])
        relation = tree.part(params, "relation")
        if not self.transductive:
            real = torch.ones_like(support.y, dtype=torch.bool) if support.mask is None else support.mask
            compared = (real[:, None] & present).flatten()
            relation = self.relation.with_statistics(relation, _pairs(classes, features), compared)
        return ClassFeatures(classes, present, encoder, relation)

    def predict(self, params: Params, adapted: ClassFeatures, x: Tensor | dict[str, Tensor]) -> Tensor:
        features = self.encoder.apply(adapted.encoder, x)
        logits = self.relation.apply(adapted.relation, _pairs(adapted.features, features))
        return mask_absent(logits.view(features.shape[0], adapted.present.shape[0]), adapted.present)


def _pairs(classes: Tensor, features: Tensor) -> Tensor:
    """[n * ways, 2 c, ...]: every row beside every class, the classes of a row one after another."""
    n, k, rest = features.shape[0], classes.shape[0], features.shape[1:]
    pairs = [classes[None].expand(n, k, *rest), features[:, None].expand(n, k, *rest)]
    return torch.cat(pairs, 2).flatten(0, 1)
