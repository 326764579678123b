"""learn2learn 0.2.0: MAML as in its README and `examples/vision/maml_omniglot.py`, Reptile, and its task sampler."""

import importlib
from typing import Any

import torch

from benchmarks import one_by_one
from benchmarks.child import Work
from benchmarks.peers.past import past
from benchmarks.problems import META_LR, PROBLEMS

# Its `__init__` imports torchvision; the module of MAML does not.
past("learn2learn", "learn2learn.algorithms")
MAML: Any = importlib.import_module("learn2learn.algorithms.maml").MAML


def maml(problem: str, tasks: int, steps: int = 1, first_order: bool = False) -> Work:
    step, ready = one_by_one.Steps(MAML, problem, steps, first_order), PROBLEMS[problem].tasks(tasks)
    return Work(run=lambda: step(ready))


def reptile(problem: str, tasks: int, steps: int) -> Work:
    """Clone, adapt, and move towards the clone: no query pass, as the paper has it."""
    found = PROBLEMS[problem]
    learner: Any = MAML(found.network(), lr=found.inner_lr, first_order=True)
    optimizer, ready = torch.optim.SGD(learner.parameters(), lr=META_LR), found.tasks(tasks)
    loss = found.loss()

    def run() -> float:
        optimizer.zero_grad()
        total = torch.zeros(())
        for (support, labels), _ in ready:
            clone = learner.clone()
            for _ in range(steps):
                clone.adapt(loss(clone(support), labels))
            with torch.no_grad():
                for leaf, adapted in zip(learner.parameters(), clone.parameters(), strict=True):
                    offset = leaf - adapted
                    total += 0.5 * offset.square().sum()
                    leaf.grad = offset if leaf.grad is None else leaf.grad + offset
        for leaf in learner.parameters():
            leaf.grad.mul_(1 / tasks)
        optimizer.step()
        return float(total) / tasks

    return Work(run=run)


def episodes(count: int, ways: int, shots: int, queries: int, classes: int, instances: int, fused: bool) -> Work:
    """`count` fresh tasks of its own task sets."""
    data: Any = importlib.import_module("learn2learn.data")
    importlib.import_module("learn2learn.data.transforms")
    return one_by_one.episodes(data, count, ways, shots, queries, classes, instances, fused)
