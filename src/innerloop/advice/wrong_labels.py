"""How many labels are wrong, from how examples lie among those of their class and of others.

Every example, left out, gets a margin: how near the nearest of its own class are, less how near those of its nearest
other class are, in a frozen encoder. Examples whose label is wrong have margins of a kind that is known: those that
right examples get where they are given another class by chance. What is observed is a mixture of clean margins, of
which nothing is assumed, and of these, so that their share is at most the ratio of the two tails (Blanchard, Lee and
Scott, JMLR 11, 2010), which is attained where clean examples do not reach. Where classes cannot be told apart in the
encoder, no tail is clean, and nothing is said.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from innerloop.advice.material import Material
from innerloop.core import random
from innerloop.core.interval import Share
from innerloop.core.objectives import normalize

_NEIGHBOURS = 5
_TAILS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Shares of the margins of wrong labels, below which the tails are compared: fewer would be a matter of luck."""
_DRAWS = 4
"""Other classes that every example is given."""
_TELLS = 0.75
"""Area under the curve from which margins of labels tell those apart that are given by chance."""
_SEED = 0x1ABE1


@dataclass(frozen=True, kw_only=True)
class WrongLabels:
    """What was found."""

    share: float | None
    """About how many labels are wrong; None: it cannot be told."""
    low: float
    """At least so many, at 95%; 0 where it cannot be told."""
    high: float
    suspects: tuple[int, ...]
    """Places of examples that look wrong, the clearest first."""
    answers: tuple[int, ...]
    """The class that the neighbours of each are of."""
    tells: float
    """Area under the curve of labels against those given by chance."""

    def to_json(self, material: Material) -> dict[str, Any]:
        """Plain JSON values, with all suspects, as `first`."""
        shown = [
            {
                "example": material.called(i),
                "label": material.names[int(material.labels[i])],
                "rather": material.names[c],
            }
            for i, c in zip(self.suspects, self.answers, strict=True)
        ]
        about = {"share": self.share, "low": self.low, "high": self.high, "told_apart": self.tells}
        return about | {"suspects": len(self.suspects), "first": shown}


def wrong_labels(rows: Tensor, labels: Tensor, ways: int) -> WrongLabels:
    """Estimate how many labels are wrong.

    Args:
        rows: [n, d] of an encoder.
        labels: [n] int64; where fewer than two classes have two examples, nothing can be told.
        ways: How many classes.
    """
    if int((torch.bincount(labels, minlength=ways) > 1).sum()) < 2:
        return _untold(0.5)
    near = _nearness(normalize(rows.flatten(1).double()), labels, ways)  # [n, ways]
    n = len(labels)
    place = torch.arange(n)
    own = _margin(near, labels)
    keys = random.fold(random.mix(_SEED, 0), torch.arange(_DRAWS))
    other = (random.bits(keys, (n,)) % max(ways - 1, 1)) + (1 if ways > 1 else 0)  # [draws, n]
    chance = torch.stack([_margin(near, (labels + shift) % ways) for shift in other])  # [draws, n]
    tells = float((own[:, None] > chance.flatten()[None]).double().mean())
    rather = near.clone()
    rather[place, labels] = -torch.inf
    best = rather.argmax(1)
    if tells < _TELLS:
        return _untold(tells)
    at, share, low, high = _share(own, chance)
    # As many as are wrong by the estimate, and none that its own class is nearer to than any other.
    count = round(share * n)
    order = own.argsort(stable=True)[:count]
    order = order[own[order] < max(at, 0.0)]
    return WrongLabels(
        share=share,
        low=low,
        high=high,
        suspects=tuple(order.tolist()),
        answers=tuple(best[order].tolist()),
        tells=tells,
    )


def _untold(tells: float) -> WrongLabels:
    return WrongLabels(share=None, low=0.0, high=1.0, suspects=(), answers=(), tells=tells)


def _nearness(x: Tensor, labels: Tensor, ways: int) -> Tensor:
    """[n, ways] mean cosine with the nearest of every class, each example left out."""
    cosines = x @ x.T
    cosines.fill_diagonal_(-torch.inf)
    near = torch.full((len(x), ways), -1.0, dtype=x.dtype)
    for c in range(ways):
        members = (labels == c).nonzero().flatten()
        # One fewer than there are: of its own class an example has no more.
        k = min(_NEIGHBOURS, len(members) - 1)
        if k > 0:
            near[:, c] = cosines[:, members].topk(k, 1).values.mean(1)
    return near


def _margin(near: Tensor, labels: Tensor) -> Tensor:
    """[n] nearness of these classes less that of the nearest other."""
    place = torch.arange(len(labels))
    others = near.clone()
    others[place, labels] = -torch.inf
    return near[place, labels] - others.amax(1)


def _share(own: Tensor, chance: Tensor) -> tuple[float, float, float, float]:
    """Where the tails are cut, the share of wrong labels, and its ends: of the cut whose upper end is lowest."""
    cuts = []
    # Halfway between the two as well: where classes are tight, margins of chance are alike, and those of wrong labels
    # that another example shares lie above them.
    middle = (own.median() + chance.median()) / 2
    for at in (*(float(chance.flatten().quantile(tail)) for tail in _TAILS), float(middle)):
        tail = float((chance < at).double().mean())
        below = Share(int((own < at).sum()), len(own))
        if tail >= _TAILS[0] / 2:
            low, high = (end / tail for end in below.ends)
            cuts.append((at, min(below.value / tail, 1.0), min(low, 1.0), min(high, 1.0)))
    return min(cuts, key=lambda cut: cut[3])
