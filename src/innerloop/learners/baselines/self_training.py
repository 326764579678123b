"""Self-training: Yarowsky, ACL 1995, https://aclanthology.org/P95-1026.

Adaptation is the mean embedding of every class, taken again after each round of labelling what it is confident of.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core.encoder_learner import EncoderClassifier, Means, nearness
from innerloop.core.errors import InputError
from innerloop.core.learner import Unrolled, mask_absent
from innerloop.core.objectives import classification, membership
from innerloop.core.prototypes import Centroids, centroids, squared_distance, ways
from innerloop.core.types import Batch, Episode, Metrics, Params


class Guessing(NamedTuple):
    """Labels and guesses so far, once of all examples and once without each of them."""

    member: Tensor  # [1 + n, n, ways]; the first with all examples, number 1 + i without example i
    mistakes: Tensor  # [] how many held-out examples are taken for another class
    going: Tensor  # [] bool, False once a round has hurt
    features: Tensor  # [n, d]
    encoder: Params


@dataclass(frozen=True, kw_only=True)
class SelfTraining(EncoderClassifier[Means], Unrolled[Means, Guessing]):
    """Logits are negative squared distances to class means; parameters are the encoder's, as ProtoNet's.

    `loss` is ProtoNet's on the labelled rows alone, so a run of it serves here, and training has made the softmax over
    distances a probability: that is why the head is the nearest mean. Unlabelled rows of the support have label -1. A
    guess is never taken back, as in scikit-learn's `SelfTrainingClassifier`.

    A round after which more held-out examples go wrong is undone, and is the last. Every labelled example is held out
    in turn, from the guessing too, unless its class has no other: with one shot there is nothing to hold out, and no
    round is undone.
    """

    trains_on = ("episodes",)
    uses_unlabelled = True

    inner_steps: int = 3
    """Rounds at most."""
    threshold: float = 0.75
    """Probability from which a guess becomes a label."""

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise InputError(f"threshold is a probability from 0 to 1, got {self.threshold}")

    def start(self, params: Params, support: Batch) -> Guessing:
        features, encoder = self.features(params, support)
        member = membership(support.y, ways(support), support.mask, features.dtype)  # [n, ways]
        without = 1 - torch.eye(len(member), dtype=member.dtype, device=member.device)
        kept = torch.cat([torch.ones_like(without[:1]), without])  # [1 + n, n]
        member = kept[:, :, None] * member
        going = torch.ones((), dtype=torch.bool, device=member.device)
        return Guessing(member, _mistakes(member, features, support), going, features, encoder)

    def advance(self, params: Params, carry: Guessing, support: Batch) -> tuple[Guessing, Tensor]:
        features, unlabelled = carry.features, support.y < 0
        if support.mask is not None:
            unlabelled = unlabelled & support.mask
        logits = _logits(carry.member, features)  # [1 + n, n, ways]
        p, guess = logits.softmax(-1).max(-1)
        new = (p >= self.threshold) & unlabelled & (carry.member.sum(-1) == 0)
        number = torch.arange(logits.shape[-1], device=guess.device)
        member = carry.member + ((guess[..., None] == number) & new[..., None])
        mistakes = _mistakes(member, features, support)
        going = carry.going & (mistakes <= carry.mistakes)
        after = carry._replace(
            member=torch.where(going, member, carry.member),
            mistakes=torch.where(going, mistakes, carry.mistakes),
            going=going,
        )
        return after, classification(logits[0], support.y, support.mask)

    def finish(self, params: Params, carry: Guessing, support: Batch) -> Means:
        means, counts = _means(carry.member[0], carry.features)
        return Means(Centroids(means, counts), carry.encoder)

    def predict(self, params: Params, adapted: Means, x: Tensor | dict[str, Tensor]) -> Tensor:
        return nearness(self.encoder.apply(adapted.encoder, x), adapted.centroids)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        features, encoder = self.features(params, episode.support)
        return self.query_loss(params, Means(centroids(features, episode.support), encoder), episode.query)


def _means(member: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Class means [..., ways, d] and counts [..., ways] of memberships [..., n, ways]."""
    counts = member.sum(-2)
    return (member.mT @ features) / counts.clamp_min(1)[..., None], counts


def _logits(member: Tensor, features: Tensor) -> Tensor:
    """[m, n, ways] of all examples, under each of [m, n, ways] memberships."""
    means, counts = _means(member, features)
    distances = squared_distance(features, means.flatten(0, 1)).unflatten(1, counts.shape).transpose(0, 1)
    return mask_absent(-distances, (counts > 0)[:, None])


def _mistakes(member: Tensor, features: Tensor, support: Batch) -> Tensor:
    """How many examples whose class has further ones are taken for another class by the means without them."""
    means, counts = _means(member[1:], features)  # [n, ways, d], [n, ways]
    distances = (features[:, None] - means).square().sum(-1)
    guess = mask_absent(-distances, counts > 0).argmax(-1)
    own = membership(support.y, counts.shape[1], support.mask, features.dtype)  # [n, ways]
    shared = own @ own.sum(0) > 1
    return (shared & (guess != support.y)).sum()
