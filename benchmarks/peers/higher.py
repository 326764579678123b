"""higher 0.2.1, as its README has MAML."""

import importlib
from typing import Any

import torch

from benchmarks.child import Work
from benchmarks.problems import META_LR, PROBLEMS

_HIGHER: Any = importlib.import_module("higher")


def maml(problem: str, tasks: int, steps: int = 1) -> Work:
    found = PROBLEMS[problem]
    network, ready, loss = found.network(), found.tasks(tasks), found.loss()
    inner = torch.optim.SGD(network.parameters(), lr=found.inner_lr)
    outer = torch.optim.Adam(network.parameters(), lr=META_LR)

    def run() -> float:
        outer.zero_grad()
        total = 0.0
        for (support, labels), (query, answers) in ready:
            with _HIGHER.innerloop_ctx(network, inner, copy_initial_weights=False) as (fast, descend):
                for _ in range(steps):
                    descend.step(loss(fast(support), labels))
                error = loss(fast(query), answers)
                (error / tasks).backward()
                total += error.item()
        outer.step()
        return total / tasks

    return Work(run=run)
