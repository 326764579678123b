"""A learner run once on a stand-in support, to see what its adapted state and its outputs look like."""

from typing import Any

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.learner import Learner
from innerloop.core.types import Batch, Params


def support(x: Tensor, y: Tensor, ways: int, weight: Tensor | None = None) -> Batch:
    """The one way in which labelled rows become a support here: a dry run has the structure of the real thing."""
    return Batch(x, y, classes=torch.ones(ways, dtype=torch.bool), key=random.mix(0, 0), weight=weight)


@torch.no_grad()
def dry_run(learner: Learner, params: Params, shape: tuple[int, ...], ways: int) -> Any:
    """What `learner.adapt` returns for one blank example of each class."""
    return learner.adapt(params, support(torch.zeros(ways, *shape), torch.arange(ways), ways))


@torch.no_grad()
def answers(learner: Learner, params: Params, adapted: Any, shape: tuple[int, ...]) -> int:
    """How many classes an adapted learner answers with."""
    return learner.predict(params, adapted, torch.zeros(1, *shape)).shape[-1]


def outputs(learner: Learner, params: Params, shape: tuple[int, ...], ways: int) -> int:
    """How many classes the learner answers with when it is asked for `ways`: fewer or more if its network decides."""
    return answers(learner, params, dry_run(learner, params, shape, ways), shape)


def capacity(learner: Learner, params: Params, shape: tuple[int, ...]) -> int | None:
    """The most classes the learner tells apart; None: any number of them."""
    count = outputs(learner, params, shape, 2)
    if count == 2 and outputs(learner, params, shape, 3) == 3:
        return None
    return count
