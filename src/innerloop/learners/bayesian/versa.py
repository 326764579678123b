"""VERSA: Gordon, Bronskill, Bauer, Nowozin, Turner, ICLR 2019, https://arxiv.org/abs/1805.09921.

Adaptation is one pass of a network that writes a normal distribution over the weights of every class from the mean of
its features.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.gaussian import Gaussian, key_of, members, mixture_loss, noise_of
from innerloop.core.gaussian_heads import GaussianHeads, Heads
from innerloop.core.model import Model
from innerloop.core.networks import FEATURES, Rows, role
from innerloop.core.objectives import regression, weights
from innerloop.core.predictive import mean_of
from innerloop.core.prototypes import Centroids, centroids
from innerloop.core.types import Batch, Metrics, Params

_AMORTISED = Rows(FEATURES, FEATURES, hidden=(FEATURES, FEATURES), activation="elu")
_SCALAR = Rows(FEATURES, 1, hidden=(FEATURES, FEATURES), activation="elu")
_NETWORKS = ("weight_mean", "weight_log_variance", "bias_mean", "bias_log_variance")


@dataclass(frozen=True, kw_only=True)
class VERSA(GaussianHeads):
    """Classes are amortised one by one, by networks that all of them share: any number of classes has an answer.

    The loss is the negative logarithm of the mean probability over `samples` draws of the logits, without a divergence:
    a predictive likelihood and no bound. Asked, the authors' code averages exp(logit); here it is probabilities too.

    Of values, each target is amortised as a class is, from the mean of a network's outputs for every row: its features,
    and its features times that target. Their noise is normal with a learned deviation.

    Parameters: `encoder.*`, those of the other networks by their fields, and `log_noise`, which classes do not use.
    """

    trains_on = ("episodes",)

    weight_mean: Model = field(metadata=role(_AMORTISED))
    """Pooled features [k, d] -> [k, d]; this and the next three are one network each, as in the authors' code."""
    weight_log_variance: Model = field(metadata=role(_AMORTISED))
    """[k, d] -> [k, d]."""
    bias_mean: Model = field(metadata=role(_SCALAR))
    """[k, d] -> [k, 1]."""
    bias_log_variance: Model = field(metadata=role(_SCALAR))
    """[k, d] -> [k, 1]."""
    pooled: Model | None = field(
        default=None,
        metadata=role(Rows(2 * FEATURES, FEATURES, (FEATURES,), activation="elu", when={"objective": regression})),
    )
    """Values: [n, 2 d] features of a row beside their product with a target -> [n, d], whose mean is pooled."""

    def __post_init__(self) -> None:
        if self.objective is regression and self.pooled is None:
            raise InputError("VERSA of values needs the network pooled, [n, 2 d] -> [n, d] for d features")

    def init(self, seed: int) -> Params:
        networks = {name: getattr(self, name) for name in ("encoder", *_NETWORKS, "pooled")}
        params = tree.join(**{name: network.init(seed) for name, network in networks.items() if network is not None})
        return params | {"log_noise": torch.tensor(math.log(self.noise))}

    def adapt(self, params: Params, support: Batch) -> Heads:
        features, encoder = self.features(tree.part(params, "encoder"), support)
        values = support.y.is_floating_point()
        pooled, counts = self._targets(params, features, support) if values else centroids(features, support)
        parts = {name: getattr(self, name).apply(tree.part(params, name), pooled) for name in _NETWORKS}
        weight, weight_log_variance, bias, bias_log_variance = parts.values()
        head = Gaussian(
            {"weight": weight, "bias": bias[:, 0]},
            {"weight": 0.5 * weight_log_variance, "bias": 0.5 * bias_log_variance[:, 0]},
        )
        draws, centre = self.draws(key_of(support), head), features.new_zeros(features.shape[1])
        return Heads(head, centre, draws, counts > 0, noise_of(params, support), encoder)

    def query_loss(self, params: Params, adapted: Heads, query: Batch) -> tuple[Tensor, Metrics]:
        if not adapted.noise:
            return super().query_loss(params, adapted, query)
        outputs = self.outputs(adapted, self.encoder.apply(adapted.encoder, query.x))
        logged = self.logged(mean_of(members(outputs, adapted.noise)), query)
        return mixture_loss(outputs, adapted.noise, query.y, query.mask), logged

    def _targets(self, params: Params, features: Tensor, support: Batch) -> Centroids:
        """What is pooled for every target in the place of a class."""
        if self.pooled is None:
            raise InputError("VERSA was built for classes: give it objective=regression and the network pooled")
        y = support.y.flatten(1)
        beside = features.expand(y.shape[1], *features.shape)
        rows = torch.cat([beside, beside * y.T[:, :, None]], -1)  # [k, n, 2 d]
        written = self.pooled.apply(tree.part(params, "pooled"), rows.flatten(0, 1)).unflatten(0, rows.shape[:2])
        counted = weights(support.y, support.mask).to(written.dtype)
        means = (written * counted[:, None]).sum(1) / counted.sum().clamp_min(1)
        return Centroids(means, torch.ones_like(means[:, 0]))
