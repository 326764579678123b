"""easyfsl 1.5.0: Prototypical Networks, trained episodically as in its notebook."""

import importlib
from typing import Any

import torch
from torch import nn

from benchmarks.child import Work
from benchmarks.peers.past import past
from benchmarks.problems import META_LR, PROBLEMS

# The `__init__` of its methods imports what needs torchvision, pandas and more.
past("easyfsl", "easyfsl.methods")
_ProtoNet: Any = importlib.import_module("easyfsl.methods.prototypical_networks").PrototypicalNetworks


def protonet(problem: str) -> Work:
    found = PROBLEMS[problem]
    ((support, labels), (query, answers)), *_ = found.tasks(1)
    classifier, loss = _ProtoNet(found.network()), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(classifier.parameters(), lr=META_LR)

    def run() -> float:
        optimizer.zero_grad()
        classifier.process_support_set(support, labels)
        error = loss(classifier(query), answers)
        error.backward()
        optimizer.step()
        return error.item()

    return Work(run=run)
