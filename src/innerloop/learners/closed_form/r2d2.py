"""R2-D2, ridge regression as base learner: Bertinetto et al., ICLR 2019, https://arxiv.org/abs/1805.08136.

Adaptation is ridge regression of the one-hot labels on the features, in closed form and differentiated through.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.encoder_learner import EncoderClassifier
from innerloop.core.learner import mask_absent
from innerloop.core.linalg import ridge, with_ones
from innerloop.core.objectives import membership, weights
from innerloop.core.prototypes import ways
from innerloop.core.ranges import Positive
from innerloop.core.searched import DECAY, between
from innerloop.core.sensible import FROZEN_ROWS, WEIGHED_WORDS, Sensible, by_kind
from innerloop.core.types import Batch, Params


class Regression(NamedTuple):
    """A linear model of the labels."""

    weight: Tensor  # [d + 1, ways], the last row is the bias
    present: Tensor  # [ways] bool
    encoder: Params
    """With the support's statistics unless transductive."""


@dataclass(frozen=True, kw_only=True)
class R2D2(EncoderClassifier[Regression]):
    """Logits are the regression's outputs, scaled and shifted by learned numbers.

    Its weights, the bias among them, minimise `sum_i |x_i W - y_i|^2 + decay |W|^2`: scikit-learn's
    `Ridge(alpha=decay, fit_intercept=False)` with a column of ones. The authors' code divides by n within the sum, so
    that its lambda is n times as much here.

    Parameters: `encoder.*`, `log_scale`, `bias` (which no softmax sees), and `log_decay` where it is learned.
    """

    trains_on = ("episodes",)
    sensible = by_kind(
        classes=Sensible(
            # With 1, as in the field, it stays 3 points below on Omniglot with 300 episodes.
            fields={"decay": 20.0},
            task={"train_ways": 20},
            train={"meta_batch_size": 1},
        ),
        texts=FROZEN_ROWS,
        entities=WEIGHED_WORDS,
    )

    decay: Positive = field(default=1.0, metadata=DECAY)
    """The paper's lambda, at first if it is learned."""
    learn_decay: bool = False
    """Also meta-learn the decay, from its value."""
    scale: Positive = field(default=10.0, metadata=between(1.0, 100.0, log=True))
    """What outputs are multiplied by at first, as in the authors' code for Omniglot; learned."""

    @property
    def weighs(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return not self.encoder.norm_weights()  # which see every row once

    def init(self, seed: int) -> Params:
        params = tree.join(encoder=self.encoder.init(seed))
        params |= {"log_scale": torch.tensor(math.log(self.scale)), "bias": torch.tensor(0.0)}
        return params | ({"log_decay": torch.tensor(math.log(self.decay))} if self.learn_decay else {})

    def adapt(self, params: Params, support: Batch) -> Regression:
        features, encoder = self.features(tree.part(params, "encoder"), support)
        member = membership(support.y, ways(support), support.mask, features.dtype)  # [n, ways]
        x = with_ones(features) * weights(support.y, support.mask)[:, None]
        if self.weighs and support.weight is not None:  # squares are summed
            root = support.weight.to(features.dtype).sqrt()[:, None]
            x, member = x * root, member * root
        decay = params["log_decay"].exp() if self.learn_decay else self.decay
        return Regression(ridge(x, member, decay), member.sum(0) > 0, encoder)

    def predict(self, params: Params, adapted: Regression, x: Tensor | dict[str, Tensor]) -> Tensor:
        outputs = with_ones(self.encoder.apply(adapted.encoder, x)) @ adapted.weight
        return mask_absent(params["log_scale"].exp() * outputs + params["bias"], adapted.present)
