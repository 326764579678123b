"""Learned and hand-made optimizers on the same functions: the value after every step.

The hand-made ones are `torch.optim`'s, each with the best of the same number of rates on validation functions.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.learner import Unrolled
from innerloop.core.types import Batch, Params, Sampler

RATES = tuple(10 ** (-4 + i / 3) for i in range(14))
"""From 1e-4 to 2.2, three a decade: the search of every hand-made optimizer."""
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "SGD": torch.optim.SGD,
    "momentum": lambda leaves, lr: torch.optim.SGD(leaves, lr=lr, momentum=0.9),
    "RMSprop": torch.optim.RMSprop,
    "Adam": torch.optim.Adam,
}


class Tuned(NamedTuple):
    """An optimizer with the rate that was best on validation functions."""

    name: str
    rate: float


@torch.no_grad()
def learned(learner: Unrolled, params: Params, tasks: Batch, steps: int) -> Tensor:
    """[steps, tasks] values after every step of a learner whose state has their sum, `total`."""
    axes = tree.axes(tasks)
    carry: Any = torch.vmap(learner.start, in_dims=(None, axes))(params, tasks)
    advance = torch.vmap(learner.advance, in_dims=(None, tree.axes(carry), axes))
    totals = [carry.total]
    for _ in range(steps):
        carry, _ = advance(params, carry, tasks)
        totals.append(carry.total)
    return torch.stack(totals).double().diff(dim=0)


def made(learner: Any, tuned: Tuned, tasks: Batch, steps: int) -> Tensor:
    """As `learned`, by an optimizer of `OPTIMIZERS` on all tasks at once: it works entry by entry.

    Minibatches are those that the learner gets.
    """
    assert isinstance(tasks.x, dict)
    leaves = {k: v.detach().clone().requires_grad_() for k, v in tree.part(tasks.x, "start").items()}
    optimizer = OPTIMIZERS[tuned.name](list(leaves.values()), lr=tuned.rate)
    value = torch.vmap(learner.at_step, in_dims=(0, tree.axes(tasks), None))
    found = []
    for step in range(steps + 1):
        values = value(leaves, tasks, torch.tensor(step))
        found.append(values.detach().double())
        optimizer.zero_grad()
        values.sum().backward()  # of independent tasks: everyone's own gradient
        optimizer.step()
    return torch.stack(found[1:])


def tune(learner: Any, validation: Sampler, steps: int, tasks: int = 128) -> list[Tuned]:
    """Every optimizer with its best rate, by the mean over validation functions of the sum of values."""
    batch = validation.episodes(0, tasks).support
    found = []
    for name in OPTIMIZERS:
        sums = [float(made(learner, Tuned(name, rate), batch, steps).sum(0).mean()) for rate in RATES]
        best = min(range(len(RATES)), key=lambda i: sums[i] if sums[i] == sums[i] else float("inf"))
        found.append(Tuned(name, RATES[best]))
    return found
