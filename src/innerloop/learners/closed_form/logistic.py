"""LR-D2, logistic regression as base learner: Bertinetto et al., ICLR 2019, https://arxiv.org/abs/1805.08136.

Adaptation is one logistic regression for each class against the others, by Newton's method, differentiated through.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from innerloop.core import tree
from innerloop.core.encoder_learner import EncoderClassifier
from innerloop.core.learner import Unrolled, mask_absent
from innerloop.core.linalg import ridge, with_ones
from innerloop.core.objectives import classification, membership, weights
from innerloop.core.prototypes import ways
from innerloop.core.ranges import Positive
from innerloop.core.searched import DECAY
from innerloop.core.types import Batch, Params

LEAST_CURVATURE = 1e-6
"""Curvature of an example's loss; below it, Newton's step would be a division by rounding errors."""


class Regressions(NamedTuple):
    """One linear model for each class."""

    weight: Tensor  # [ways, d + 1], the last column is the bias
    present: Tensor  # [ways] bool
    encoder: Params
    """With the support's statistics unless transductive."""


class Fitting(NamedTuple):
    """The models, and what they are fitted to, which stays as it is."""

    models: Regressions
    x: Tensor  # [n, d + 1] features and ones, zeros in rows that do not count


@dataclass(frozen=True, kw_only=True)
class LRD2(EncoderClassifier[Regressions], Unrolled[Regressions, Fitting]):
    """Logits are the log-odds of each class against the others. Parameters: `encoder.*`.

    Weights, the bias among them, go from zero to the minimum of `sum_i logloss_i + decay / 2 |w|^2`: scikit-learn's
    `LogisticRegression(C=1 / decay, fit_intercept=False)` with a column of ones.
    """

    trains_on = ("episodes",)

    inner_steps: int = 5
    """Steps of Newton's method, each a weighted ridge regression (IRLS)."""
    decay: Positive = field(default=1.0, metadata=DECAY)
    """The paper's lambda."""

    def init(self, seed: int) -> Params:
        return tree.join(encoder=self.encoder.init(seed))

    def start(self, params: Params, support: Batch) -> Fitting:
        features, encoder = self.features(tree.part(params, "encoder"), support)
        x = with_ones(features) * weights(support.y, support.mask)[:, None]
        present = membership(support.y, ways(support), support.mask).sum(0) > 0
        return Fitting(Regressions(x.new_zeros(len(present), x.shape[1]), present, encoder), x)

    def advance(self, params: Params, carry: Fitting, support: Batch) -> tuple[Fitting, Tensor]:
        (weight, present, _), x = carry
        y = membership(support.y, len(present), support.mask, x.dtype).T  # [ways, n]
        log_odds = weight @ x.T
        p = log_odds.sigmoid()
        root = (p * (1 - p)).clamp_min(LEAST_CURVATURE).sqrt()
        target = root * log_odds + (y - p) / root  # [ways, n]
        weight = ridge(root[:, :, None] * x, target[:, :, None], self.decay)[:, :, 0]
        value = classification(mask_absent(log_odds.T, present), support.y, support.mask)
        return carry._replace(models=carry.models._replace(weight=weight)), value

    def finish(self, params: Params, carry: Fitting, support: Batch) -> Regressions:
        return carry.models

    def predict(self, params: Params, adapted: Regressions, x: Tensor | dict[str, Tensor]) -> Tensor:
        features = with_ones(self.encoder.apply(adapted.encoder, x))
        return mask_absent(features @ adapted.weight.T, adapted.present)
