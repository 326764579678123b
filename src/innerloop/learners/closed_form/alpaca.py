"""ALPaCA, Bayesian linear regression on learned features: Harrison et al., WAFR 2018, https://arxiv.org/abs/1807.08912.

Adaptation is the posterior of a linear model of what a shared head leaves over, in closed form: ridge regression that
shrinks towards that head instead of towards 0, and knows how sure it is.
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.encoder_learner import EncoderLearner
from innerloop.core.errors import InputError
from innerloop.core.model import Model
from innerloop.core.networks import FEATURES, OUTPUTS, Rows, role
from innerloop.core.objectives import mean, weights
from innerloop.core.predictive import Predictive, normal_surprise
from innerloop.core.ranges import Positive
from innerloop.core.scores import MeanSquaredError, measured
from innerloop.core.sensible import RATINGS, Sensible, by_kind
from innerloop.core.types import Batch, Episode, Metrics, Params


class Posterior(NamedTuple):
    """What the support says of the weights."""

    precision: Tensor  # [b, b]
    evidence: Tensor  # [b, k], the precision times the mean
    encoder: Params
    """With the support's statistics unless transductive."""


@dataclass(frozen=True, kw_only=True)
class ALPaCA(EncoderLearner[Posterior]):
    """Outputs are `head(f) + basis(f) W`, with features f, W ~ N(0, 1), and noise of targets of deviation sigma.

    A basis that is linear with a bias makes the prior of a linear model any normal one, as in the paper. Parameters:
    `encoder.*`, `head.*`, `basis.*` and `log_sigma`.

    `update` sees what it adds with the batch-norm statistics of the first support.
    """

    trains_on = ("episodes",)
    targets = ("values",)
    sensible = by_kind(
        regression=Sensible(train={"meta_batch_size": 25, "meta_lr": 5e-3, "clip": 10.0}),
        ratings=RATINGS,
    )
    probabilistic = True
    incremental: ClassVar[bool] = True

    head: Model = field(metadata=role(Rows(FEATURES, OUTPUTS)))
    """features -> what every task begins with, [n, k]."""
    basis: Model = field(metadata=role(Rows(FEATURES, FEATURES)))
    """features -> what weights of a task multiply, [n, b]."""
    sigma: Positive = 1.0
    """Deviation of targets at first; learned."""

    def init(self, seed: int) -> Params:
        networks = {name: getattr(self, name).init(seed) for name in ("encoder", "head", "basis")}
        return tree.join(**networks) | {"log_sigma": torch.tensor(math.log(self.sigma))}

    def adapt(self, params: Params, support: Batch) -> Posterior:
        features, encoder = self.features(tree.part(params, "encoder"), support)
        size = self._basis(params, features).shape[-1]
        nothing = torch.eye(size, dtype=features.dtype, device=features.device)
        prior = Posterior(nothing, features.new_zeros(size, support.y.shape[-1]), encoder)
        return self._seen(params, prior, features, support)

    def update(self, params: Params, adapted: Posterior, more: Batch) -> Posterior:
        return self._seen(params, adapted, self.encoder.apply(adapted.encoder, more.x, more.mask), more)

    def predict(self, params: Params, adapted: Posterior, x: Tensor | dict[str, Tensor]) -> Tensor:
        features = self.encoder.apply(adapted.encoder, x)
        return self._head(params, features) + self._basis(params, features) @ solved(adapted)

    def predictive(self, params: Params, adapted: Posterior, x: Tensor | dict[str, Tensor]) -> Predictive:
        features = self.encoder.apply(adapted.encoder, x)
        basis = self._basis(params, features)
        outputs = self._head(params, features) + basis @ solved(adapted)
        half = torch.linalg.solve_triangular(torch.linalg.cholesky(adapted.precision), basis.T, upper=False)  # [b, n]
        variance = half.square().sum(0) + (2 * params["log_sigma"]).exp()
        return Predictive(outputs[None], variance.sqrt()[None, :, None].expand_as(outputs[None]))

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        """Negative log-likelihood of the query, mean over its rows."""
        query = episode.query
        predictive = self.predictive(params, self.adapt(params, episode.support), query.x)
        assert predictive.std is not None
        outputs = predictive.outputs[0]
        surprise = normal_surprise(query.y, outputs, predictive.std[0]).sum(-1)
        score = measured(MeanSquaredError(), outputs, query)[0]
        return mean(surprise, weights(query.y, query.mask)), {"score": score}

    def _head(self, params: Params, features: Tensor) -> Tensor:
        return self.head.apply(tree.part(params, "head"), features)

    def _basis(self, params: Params, features: Tensor) -> Tensor:
        return self.basis.apply(tree.part(params, "basis"), features)

    def _seen(self, params: Params, known: Posterior, features: Tensor, more: Batch) -> Posterior:
        """What is known after further rows."""
        if not more.y.is_floating_point() or more.y.ndim != 2:
            raise InputError(
                "alpaca learns values: y must be [n, d] floating-point targets, got "
                f"{str(more.y.dtype).removeprefix('torch.')} {list(more.y.shape)}; to tell classes apart, take r2d2"
            )
        rows = weights(more.y, more.mask).to(features.dtype)[:, None]
        basis = self._basis(params, features) * rows * (-params["log_sigma"]).exp()
        left = (more.y - self._head(params, features)) * rows * (-params["log_sigma"]).exp()
        return known._replace(precision=known.precision + basis.T @ basis, evidence=known.evidence + basis.T @ left)


def solved(adapted: Posterior) -> Tensor:
    """[b, k] mean of the weights."""
    return torch.cholesky_solve(adapted.evidence, torch.linalg.cholesky(adapted.precision))
