"""Tasks between tasks: MLTI, Yao, Zhang and Finn, ICLR 2022, https://arxiv.org/abs/2106.02695.

Class r of a task is mixed with class r of another one by one lambda for all its examples: a new class, between the two.
The paper mixes at a random hidden layer; here it is the inputs that are mixed, before any learner.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Positive, Share
from innerloop.core.types import Batch, Episode, Sampler

BETA = 2.0
"""As in the authors' code: lambdas near a half are the likeliest."""
_DRAW = 0x3171
PARTNER = 1 << 40
"""How far a task's partner is from it: farther than any training goes, so that it is never a task of its own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Interpolated(Checked):
    """The tasks of a sampler, a share of them mixed with another task; episode `i` stays a function of `(seed, i)`.

    In front of `Distorted` tasks, each picture is distorted on its own before two are mixed.

    Raises:
        InputError: The sampler's tasks have no classes, or not all as many and as many examples of each.
    """

    sampler: Sampler
    """Its labels and keys stay as they are."""
    share: Share = 0.5
    """How many tasks are mixed; the others stay as they are, to the bit."""
    beta: Positive = BETA
    """The a of Beta(a, a), from which a task's lambda is drawn: 1 is uniform, less is nearer to the two tasks."""

    def __post_init__(self) -> None:
        about = self.sampler.describe()
        ways, shots = about.get("ways"), about.get("shots")
        if isinstance(ways, list) or isinstance(shots, list):
            raise InputError(
                f"tasks are mixed class by class and example by example, so all need equally many; these have {ways} "
                f"ways and {shots} shots: give one number of each, or leave the interpolation out"
            )
        if not ways or not shots:
            raise InputError(
                f"interpolation mixes the classes of two tasks, and {about.get('kind')} have none of their own: leave "
                "it out"
            )
        if about.get("unlabelled"):
            raise InputError(
                "interpolation mixes examples of the same label, and unlabelled ones have none: leave one of them out"
            )

    def episodes(self, first: int, count: int) -> Episode:
        """See `innerloop.core.types.Sampler`."""
        own, other = self.sampler.episodes(first, count), self.sampler.episodes(first + PARTNER, count)
        key = own.support.key
        assert key is not None  # samplers of classes give one
        key = random.fold(key, _DRAW)
        mixed = random.uniform(random.fold(key, 0), ()) < self.share  # [count]
        weight = torch.where(mixed, random.symmetric_beta(random.fold(key, 1), self.beta), 1.0)
        return Episode(*(_between(a, b, weight) for a, b in zip(own, other, strict=True)))

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        return self.sampler.describe() | {"interpolated": {"share": self.share, "beta": self.beta}}


def _between(own: Batch, other: Batch, weight: Tensor) -> Batch:
    """The rows of one batch, each with so much of itself, and for the rest a row of its label from the other."""
    assert isinstance(own.x, Tensor) and isinstance(other.x, Tensor)  # classes are of rows of one tensor
    order, partners = own.y.argsort(stable=True, dim=1), other.y.argsort(stable=True, dim=1)
    row = partners.gather(1, order.argsort(1))  # [count, n], of the other, for each of its own
    task = torch.arange(len(row), device=row.device)[:, None]
    weight = weight.to(own.x.dtype).view(-1, *[1] * (own.x.ndim - 1))
    return own._replace(x=weight * own.x + (1 - weight) * other.x[task, row])
