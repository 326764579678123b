"""SimpleShot: Wang, Chao, Weinberger, van der Maaten, 2019, https://arxiv.org/abs/1911.04623.

Adaptation is the mean of every class, of features of an ordinarily trained classifier that were centred and scaled.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.encoder_learner import Means, nearness
from innerloop.core.objectives import normalize, weights
from innerloop.core.pretraining import Pretrained
from innerloop.core.prototypes import centroids
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.types import Batch, Episode, Params

Transform = Literal["none", "l2", "centred_l2"]


@dataclass(frozen=True, kw_only=True)
class SimpleShot(Pretrained[Means]):
    """Logits are negative squared Euclidean distances to the class means.

    Parameters: those of pre-training, and `centre` [d], the mean feature of 32 training batches once it is
    `complete`d; a single 0 before that. The paper takes the mean over every training example, which would be a pass
    over the data at each checkpoint.
    """

    trains_on = ("batches",)
    sensible = by_kind(classes=Sensible(train={"meta_batch_size": 1}))

    transform: Transform = "centred_l2"
    """Transform of features. none: as they are (the paper's UN). l2: of unit length (L2N). centred_l2: less the mean
    feature of the training classes, then of unit length (CL2N)."""

    def init(self, seed: int) -> Params:
        return super().init(seed) | {"centre": torch.zeros(())}

    def adapt(self, params: Params, support: Batch) -> Means:
        features, encoder = self.features(tree.part(params, "encoder"), support)
        return Means(centroids(self._transformed(params, features), support), encoder)

    def predict(self, params: Params, adapted: Means, x: Tensor | dict[str, Tensor]) -> Tensor:
        return nearness(self._transformed(params, self.encoder.apply(adapted.encoder, x)), adapted.centroids)

    @torch.no_grad()
    def complete(self, params: Params, tasks: Iterable[Episode]) -> Params:
        encoder, sums, counts = tree.part(params, "encoder"), [], []
        for _, query in tasks:
            rows = weights(query.y, query.mask)
            features = self.encoder.apply(encoder, query.x, query.mask)
            sums.append((features * rows[:, None]).sum(0))
            counts.append(rows.sum())
        return params | {"centre": torch.stack(sums).sum(0) / torch.stack(counts).sum().clamp_min(1)}

    def _transformed(self, params: Params, features: Tensor) -> Tensor:
        if self.transform == "none":
            return features
        return normalize(features - params["centre"] if self.transform == "centred_l2" else features)
