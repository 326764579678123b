"""learn2learn 0.2.0: MAML as in its README and `examples/vision/maml_omniglot.py`, Reptile, and its task sampler."""

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.child import Work
from benchmarks.peers.past import past
from benchmarks.problems import META_LR, PROBLEMS

# Its `__init__` imports torchvision; the module of MAML does not.
past("learn2learn", "learn2learn.algorithms")
_MAML: Any = importlib.import_module("learn2learn.algorithms.maml").MAML


class Steps:
    """One task after another, each with its own backward pass; gradients are then divided, as its examples do."""

    def __init__(self, problem: str, steps: int, first_order: bool = False):
        found = PROBLEMS[problem]
        self.steps, self.loss = steps, found.loss()
        self.maml: nn.Module = _MAML(found.network(), lr=found.inner_lr, first_order=first_order)
        self.optimizer = torch.optim.Adam(self.maml.parameters(), lr=META_LR)

    def __call__(self, tasks: list[Any]) -> float:
        self.optimizer.zero_grad()
        total = 0.0
        for (support, labels), (query, answers) in tasks:
            task: Any = self.maml.clone()  # pyright: ignore[reportCallIssue]
            for _ in range(self.steps):
                task.adapt(self.loss(task(support), labels))
            error = self.loss(task(query), answers)
            error.backward()
            total += error.item()
        for leaf in self.maml.parameters():
            assert leaf.grad is not None
            leaf.grad.mul_(1 / len(tasks))
        self.optimizer.step()
        return total / len(tasks)


def maml(problem: str, tasks: int, steps: int = 1, first_order: bool = False) -> Work:
    step, ready = Steps(problem, steps, first_order), PROBLEMS[problem].tasks(tasks)
    return Work(run=lambda: step(ready))


def reptile(problem: str, tasks: int, steps: int) -> Work:
    """Clone, adapt, and move towards the clone: no query pass, as the paper has it."""
    found = PROBLEMS[problem]
    learner: Any = _MAML(found.network(), lr=found.inner_lr, first_order=True)
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


class _InMemory(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Pictures that are floats already, so that nothing but sampling is timed."""

    def __init__(self, classes: int, instances: int):
        uint8 = torch.randint(0, 256, (classes * instances, 1, 28, 28), dtype=torch.uint8)
        self.pictures, self.labels = uint8 / 255, [i // instances for i in range(classes * instances)]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.pictures[index], self.labels[index]


def episodes(count: int, ways: int, shots: int, queries: int, classes: int, instances: int, fused: bool) -> Work:
    """`count` fresh tasks, support and query told apart as its examples do."""
    data: Any = importlib.import_module("learn2learn.data")
    transforms: Any = importlib.import_module("learn2learn.data.transforms")
    dataset = data.MetaDataset(_InMemory(classes, instances))
    if fused:
        drawn = [transforms.FusedNWaysKShots(dataset, n=ways, k=shots + queries)]
    else:
        drawn = [transforms.NWays(dataset, ways), transforms.KShots(dataset, shots + queries)]
    rest = [transforms.LoadData(dataset), transforms.RemapLabels(dataset), transforms.ConsecutiveLabels(dataset)]
    tasks = data.TaskDataset(dataset, task_transforms=drawn + rest, num_tasks=-1)
    rows = torch.arange(ways * (shots + queries))
    support = rows % (shots + queries) < shots

    def run() -> None:
        for _ in range(count):
            x, y = tasks.sample()
            _ = (x[support], y[support]), (x[~support], y[~support])

    return Work(run=run, steps=count)
