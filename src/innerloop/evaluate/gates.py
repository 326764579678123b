"""Which expert takes which family of tasks, and how much a task's family says of it."""

from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.task_code import Choosing, entropy
from innerloop.core.types import Params
from innerloop.tasks.regression import Mixture


class Gates(NamedTuple):
    """Mean gates over some tasks of a mixture."""

    families: tuple[str, ...]
    shares: Tensor
    """[families, experts] mean share of each expert in the tasks of each family."""
    tasks: int
    of_task: float
    """Mean entropy of one task's gate, in nats; 0: every task has one expert."""
    within: float
    """Entropy of a family's mean gate, mean over tasks."""
    across: float
    """Entropy of the mean gate of all tasks. What it is above `within` is the information that families and experts
    share."""
    shuffled: float
    """`within`, had the tasks' families been dealt out anew."""

    def __str__(self) -> str:
        return (
            f"entropy of the mean gate, in nats: {self.within:.2f} within a family, {self.across:.2f} across all "
            f"({self.shuffled:.2f} within families that are dealt out by chance); of one task's gate "
            f"{self.of_task:.2f}; {self.tasks} tasks"
        )


@torch.no_grad()
def gates(learner: Choosing, params: Params, sampler: Mixture, tasks: int = 400) -> Gates:
    """Gates of the first tasks of a mixture.

    Args:
        learner: Of several experts.
        params: Its meta-parameters.
        sampler: Of the tasks.
        tasks: How many; the more, the less a family's mean gate owes to chance.
    """
    device = next(iter(params.values())).device
    support = tree.map(lambda leaf: leaf.to(device), sampler.episodes(0, tasks).support)
    rows = torch.stack([learner.gate(params, tree.slice(support, i)) for i in range(tasks)]).cpu()  # [tasks, experts]
    family, dealt = sampler.draw(0, tasks), torch.randperm(tasks, generator=torch.Generator().manual_seed(0))
    shares, within = _by_family(rows, family, len(sampler.families))
    _, shuffled = _by_family(rows, family[dealt], len(sampler.families))
    across = float(entropy(rows.mean(0)))
    return Gates(sampler.titles, shares, tasks, float(entropy(rows).mean()), within, across, shuffled)


def _by_family(rows: Tensor, family: Tensor, count: int) -> tuple[Tensor, float]:
    """Mean gates [families, experts], and the mean over tasks of their entropies."""
    member = (family[:, None] == torch.arange(count)).to(rows.dtype)  # [tasks, families]
    shares = member.T @ rows / member.sum(0).clamp_min(1)[:, None]
    return shares, float(member.mean(0) @ entropy(shares))
