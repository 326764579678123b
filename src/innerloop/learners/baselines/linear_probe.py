"""Pre-train, then logistic regression: RFS, Tian et al., ECCV 2020, https://arxiv.org/abs/2003.11539.

Adaptation is multinomial logistic regression on unit-length features of an ordinarily trained classifier.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.learner import mask_absent
from innerloop.core.linalg import with_ones
from innerloop.core.objectives import membership, normalize, weights
from innerloop.core.pretraining import Pretrained
from innerloop.core.prototypes import ways
from innerloop.core.ranges import Count, Positive
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.types import Batch, Params


class Probe(NamedTuple):
    """A linear model of the classes over the frozen encoder."""

    weight: Tensor  # [ways, d + 1], the last column is the bias
    present: Tensor  # [ways] bool
    encoder: Params
    """With the support's statistics unless transductive."""


@dataclass(frozen=True, kw_only=True)
class LinearProbe(Pretrained[Probe]):
    """Weights minimise `C sum_i crossentropy_i + |w|^2 / 2`, the bias goes free: scikit-learn's `LogisticRegression`.

    Two classes are treated like any number; scikit-learn has one weight vector for them, and half of the penalty.
    Parameters: those of pre-training, and `C` where it is not given, at first 1.
    """

    trains_on = ("batches",)
    sensible = by_kind(
        classes=Sensible(train={"meta_batch_size": 1}, choices={"C": (1.0, 0.1, 10.0, 0.01, 100.0)}),
    )

    C: Positive | None = None
    """Inverse of the penalty; None: a parameter, chosen on meta-validation classes by `innerloop train`."""
    iterations: Count = 200
    """Iterations of Nesterov's method: 100 reach 1e-5 at up to 20 ways and 5 shots for C to 10, 200 for C to 100."""

    def init(self, seed: int) -> Params:
        return super().init(seed) | ({"C": torch.tensor(1.0)} if self.C is None else {})

    def adapt(self, params: Params, support: Batch) -> Probe:
        features, encoder = self.features(tree.part(params, "encoder"), support)
        x = with_ones(normalize(features)) * weights(support.y, support.mask)[:, None]
        member = membership(support.y, ways(support), support.mask, x.dtype)  # [n, ways]
        decay = 1 / (params["C"] if self.C is None else torch.as_tensor(self.C, dtype=x.dtype, device=x.device))
        present = member.sum(0) > 0
        return Probe(logistic(x, member, present, decay, self.iterations), present, encoder)

    def predict(self, params: Params, adapted: Probe, x: Tensor | dict[str, Tensor]) -> Tensor:
        features = with_ones(normalize(self.encoder.apply(adapted.encoder, x)))
        return mask_absent(features @ adapted.weight.T, adapted.present)


def logistic(x: Tensor, member: Tensor, present: Tensor, decay: Tensor, iterations: Count) -> Tensor:
    """The minimiser of `sum_i crossentropy_i + decay / 2 |w|^2`, in which the last weight, the bias, is left out.

    Böhning (1992): the Hessian of all classes is nowhere more than `(I - 1/k) x (x'x / 2 + decay)`, so that a step as
    if it were that never overshoots, whatever C and the features. Nesterov's momentum starts again wherever it leads
    uphill (O'Donoghue and Candès 2015).

    Args:
        x: [n, d + 1] features and ones; zeros in rows that do not count.
        member: [n, ways] one-hot labels.
        present: [ways] bool, classes that have a row.
        decay: [] positive.
        iterations: How many steps.

    Returns:
        [ways, d + 1].
    """
    penalty = torch.cat([decay.expand(x.shape[1] - 1), decay.new_zeros(1)])
    rounding = 2 * torch.finfo(x.dtype).eps * x.square().sum() + torch.finfo(x.dtype).tiny
    # Never singular, so it need not be checked, which would wait for the device.
    inverse = torch.cholesky_inverse(torch.linalg.cholesky_ex(x.T @ x / 2 + torch.diag(penalty + rounding)).L)
    weight = before = x.new_zeros(member.shape[1], x.shape[1])
    age = x.new_ones(())
    for _ in range(iterations):
        older = (1 + (1 + 4 * age.square()).sqrt()) / 2
        ahead = weight + (age - 1) / older * (weight - before)
        p = mask_absent(x @ ahead.T, present).softmax(-1)
        gradient = (p - member).T @ x + penalty * ahead
        before, weight = weight, ahead - gradient @ inverse
        age = torch.where((gradient * (weight - before)).sum() > 0, 1.0, older)
    return weight
