"""Linear heads with normal weights over an encoder's features, which Bayesian learners adapt."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.encoder_learner import EncoderLearner
from innerloop.core.gaussian import Gaussian, members
from innerloop.core.learner import EpisodicClassifier, mask_absent
from innerloop.core.predictive import Predictive, mean_of
from innerloop.core.ranges import Count, Positive
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.types import Params

CLASSES = Sensible(
    # With the usual 1e-3, what writes distributions has hardly begun after 300 episodes.
    task={"train_ways": 20},
    train={"meta_batch_size": 1, "meta_lr": 1e-2},
)
VALUES = Sensible(task={"shots": 10, "queries": 10}, train={"meta_batch_size": 25})


class Heads(NamedTuple):
    """A distribution of linear heads."""

    head: Gaussian
    """Its `weight` [k, d] and `bias` [k], for k classes or targets."""
    centre: Tensor  # [d], taken from features before they reach the head
    draws: Tensor  # [samples, k] standard normal, what members are
    present: Tensor  # [k] bool, classes with examples
    noise: Params
    """`log_noise` of values; empty for classes."""
    encoder: Params
    """With the support's statistics unless transductive."""


@dataclass(frozen=True, kw_only=True)
class GaussianHeads(EncoderLearner[Heads], EpisodicClassifier[Heads]):
    """A learner whose task leaves a distribution of linear heads behind.

    What is drawn are outputs and no weights, by the local reparameterisation of Kingma et al. 2015: a member has the
    same draw of an output for all rows, and what it says of one row is distributed as it should be.
    """

    targets = ("classes", "values")
    sensible = by_kind(classes=CLASSES, regression=VALUES)

    stochastic = True
    probabilistic = True

    samples: Count = 10
    """Draws of the outputs, in pairs of opposite sign."""
    noise: Positive = 1.0
    """Standard deviation of targets at first; learned."""

    def draws(self, key: Tensor, head: Gaussian) -> Tensor:
        """[samples, k] standard normal draws: those of an even number have the mean of the distribution itself."""
        bias = head.mean["bias"]
        half = random.normal(key, ((self.samples + 1) // 2, len(bias)), bias.dtype)
        return torch.cat([half, -half])[: self.samples]

    def outputs(self, adapted: Heads, features: Tensor) -> Tensor:
        """[samples, n, k] of all members for [n, d] features."""
        mean, variance = spread(adapted, features)
        return mask_absent(mean + variance.sqrt() * adapted.draws[:, None], adapted.present)

    def predict(self, params: Params, adapted: Heads, x: Tensor | dict[str, Tensor]) -> Tensor:
        return mean_of(self.predictive(params, adapted, x))

    def predictive(self, params: Params, adapted: Heads, x: Tensor | dict[str, Tensor]) -> Predictive:
        return members(self.outputs(adapted, self.encoder.apply(adapted.encoder, x)), adapted.noise)


def spread(adapted: Heads, features: Tensor) -> tuple[Tensor, Tensor]:
    """Means and variances, [n, k] each, of the outputs for [n, d] features."""
    x, mean = features - adapted.centre, adapted.head.mean
    variance = {name: (2 * log).exp() for name, log in adapted.head.log_std.items()}
    return x @ mean["weight"].T + mean["bias"], x.square() @ variance["weight"].T + variance["bias"]
