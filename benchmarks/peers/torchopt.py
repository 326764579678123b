"""TorchOpt 0.7.3, as its few-shot example has MAML."""

import importlib
from typing import Any

import torch

from benchmarks.child import Work
from benchmarks.problems import META_LR, PROBLEMS

_TORCHOPT: Any = importlib.import_module("torchopt")


def maml(problem: str, tasks: int, steps: int = 1) -> Work:
    found = PROBLEMS[problem]
    network, ready, loss = found.network(), found.tasks(tasks), found.loss()
    inner = _TORCHOPT.MetaSGD(network, lr=found.inner_lr)
    outer = torch.optim.Adam(network.parameters(), lr=META_LR)

    def run() -> float:
        outer.zero_grad()
        total = 0.0
        weights = _TORCHOPT.extract_state_dict(network, by="reference", detach_buffers=True)
        state = _TORCHOPT.extract_state_dict(inner, by="reference")
        for (support, labels), (query, answers) in ready:
            for _ in range(steps):
                inner.step(loss(network(support), labels))
            error = loss(network(query), answers)
            (error / tasks).backward()
            total += error.item()
            _TORCHOPT.recover_state_dict(network, weights)
            _TORCHOPT.recover_state_dict(inner, state)
        outer.step()
        return total / tasks

    return Work(run=run)
