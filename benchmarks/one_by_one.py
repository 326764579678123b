"""MAML task by task, as learn2learn's README and examples have it, with its classes or with those of `compat`."""

from typing import Any

import torch
from torch import Tensor, nn

import innerloop.compat.learn2learn as compat
from benchmarks.child import Work
from benchmarks.problems import META_LR, PROBLEMS


class Steps:
    """One task after another, each with its own backward pass; gradients are then divided, as its examples do."""

    def __init__(self, wrapper: Any, problem: str, steps: int, first_order: bool = False):
        found = PROBLEMS[problem]
        self.steps, self.loss = steps, found.loss()
        self.maml: nn.Module = wrapper(found.network(), lr=found.inner_lr, first_order=first_order)
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


class _InMemory(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Pictures that are floats already, so that nothing but sampling is timed."""

    def __init__(self, classes: int, instances: int):
        uint8 = torch.randint(0, 256, (classes * instances, 1, 28, 28), dtype=torch.uint8)
        self.pictures, self.labels = uint8 / 255, [i // instances for i in range(classes * instances)]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.pictures[index], self.labels[index]


def episodes(
    data: Any, count: int, ways: int, shots: int, queries: int, classes: int, instances: int, fused: bool
) -> Work:
    """`count` fresh tasks, support and query told apart as its examples do."""
    transforms = data.transforms
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


def switched(problem: str, tasks: int, steps: int = 1, first_order: bool = False) -> Work:
    """With our `compat`."""
    step, ready = Steps(compat.algorithms.MAML, problem, steps, first_order), PROBLEMS[problem].tasks(tasks)
    return Work(run=lambda: step(ready))


def switched_episodes(
    count: int, ways: int, shots: int, queries: int, classes: int, instances: int, fused: bool
) -> Work:
    """With our `compat`."""
    return episodes(compat.data, count, ways, shots, queries, classes, instances, fused)
