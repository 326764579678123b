"""Which unlabelled examples to label next: those that are uncertain, unlike what was taught, and like many others.

Facility location with what is left to be learned as weights, by its greedy algorithm: Wei, Iyer and Bilmes 2015,
"Submodularity in Data Subset Selection and Active Learning", https://proceedings.mlr.press/v37/wei15.html. Mutual
information, where members disagree: Houlsby et al. 2011 (BALD), https://arxiv.org/abs/1112.5745.
"""

from typing import Any

import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.model import Model
from innerloop.core.nearest import nearest
from innerloop.core.prototypes import cosine
from innerloop.core.rules import RULES, By
from innerloop.learners import catalogue

_SOME = 100_000
"""Distances whose median says how wide examples lie apart."""


def check_rule(by: Any, learner: Learner) -> By:
    """What uncertainty is measured by, for a learner that can say it.

    Raises:
        InputError: There is no such rule, or the learner has a single answer, whose members cannot disagree.
    """
    known: By | None = next((rule for rule in RULES if rule == by), None)
    if known is None:
        raise InputError(f"examples are chosen by {', '.join(RULES)}, and got {by!r}{nearest(str(by), RULES)}")
    if known == "mutual_information" and not learner.probabilistic:
        raise InputError(_one_member(learner))
    return known


def doubt(by: By, probabilities: Tensor, members: Tensor | None = None) -> Tensor:
    """[n] how uncertain answers are, 0 where there is nothing to be learned.

    Args:
        by: Margin: 1 less what the first class has more than the second. Entropy, and mutual information (the entropy
            of the mean less the mean entropy of the members): in nats.
        probabilities: [n, classes] of the answers; of two classes or more.
        members: [m, n, classes] probabilities of each member, for mutual information.
    """
    if by == "margin":
        best, second = probabilities.topk(2, -1).values.unbind(-1)
        return 1 - (best - second)
    if by == "entropy":
        return torch.special.entr(probabilities).sum(-1)
    assert members is not None
    each = torch.special.entr(members).sum(-1).mean(0)
    return (torch.special.entr(members.mean(0)).sum(-1) - each).clamp_min(0)


def several(members: Tensor, learner: Learner) -> Tensor:
    """[m, n, classes] probabilities of a learner's members, from their logits.

    Raises:
        InputError: There is one.
    """
    if len(members) < 2:
        raise InputError(_one_member(learner))
    return torch.softmax(members.double(), -1)


def most_telling(doubt: Tensor, between: Tensor, taught: Tensor, n: int) -> list[int]:
    """Places of n of m examples whose labels teach most, the most telling first: each is chosen with those before it.

    Args:
        doubt: [m] how uncertain their answers are.
        between: [m, m] how far they lie apart.
        taught: [m, k] how far they lie from the k examples that were taught.
        n: How many; fewer where there are fewer.
    """
    # As wide as examples usually lie apart.
    width = between.flatten()[:: max(1, between.numel() // _SOME)].median().clamp_min(1e-12)
    likeness = torch.exp(-between / width)
    # Nothing is covered where classes are known by their names alone.
    covered = torch.exp(-taught / width).amax(1) if taught.shape[1] else torch.zeros(len(between))
    return _greedy(doubt.to(likeness), likeness, covered.to(likeness), n)


def features(learner: Learner, adapted: Any, x: Tensor) -> Tensor:
    """[n, d] where a learner tells classes apart: what its encoder makes of [n, ...] inputs, or these as they are."""
    encoder, params = getattr(learner, "encoder", None), getattr(adapted, "encoder", None)
    if isinstance(encoder, Model) and isinstance(params, dict):
        x = encoder.apply(params, x)
    return x.flatten(1)


def distances(a: Tensor, b: Tensor, by_direction: bool = False) -> Tensor:
    """[n, m] how far n features lie from m: 1 - cosine where directions decide, otherwise Euclidean."""
    if by_direction:
        return (1 - cosine(a, b)).clamp_min(0)
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def by_direction(learner: Learner) -> bool:
    """Whether a learner compares features by their directions."""
    return getattr(learner, "distance", None) == "cosine"


def _greedy(weight: Tensor, likeness: Tensor, covered: Tensor, n: int) -> list[int]:
    """The n of m examples that cover most of what weighs: each adds the most to those before it."""
    chosen: list[int] = []
    left = torch.ones_like(weight, dtype=torch.bool)
    for _ in range(min(n, len(weight))):
        gain = weight @ (likeness - covered[:, None]).clamp_min(0)
        best = int(torch.where(left, gain, -1).argmax())
        chosen.append(best)
        left[best] = False
        covered = torch.maximum(covered, likeness[:, best])
    return chosen


def _one_member(learner: Learner) -> str:
    names = [name for name, cls in catalogue().items() if cls.probabilistic and "classes" in cls.targets]
    have = f"such as {', '.join(names)}" if names else "which say probabilistic = True"
    return (
        f"mutual information is what several members disagree on, and {type(learner).__name__} has one: ask by margin "
        f"or entropy, or take a learner of several members, {have}"
    )
