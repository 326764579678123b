"""A small data set of blobs in pictures, and learners that fit on it."""

import torch

from innerloop.core import random
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import MLP
from innerloop.tasks import EpisodeSampler, Pool

SIZE = 16


def pool(classes: int = 12, instances: int = 20, seed: int = 0, split: str = "test") -> Pool:
    """Every class is a fixed pattern under noise."""
    pattern = random.uniform(random.mix(seed, 0), (classes, 1, 1, SIZE, SIZE))
    noise = random.uniform(random.mix(seed, 1), (classes, instances, 1, SIZE, SIZE))
    return Pool(
        data=0.5 * (pattern + noise),
        counts=torch.full((classes,), instances),
        names=tuple(f"{split}/{i:02d}" for i in range(classes)),
        dataset="blobs",
        split=split,
    )


def sampler(ways: int = 5, shots: int = 1, queries: int = 4, seed: int = 0) -> EpisodeSampler:
    return EpisodeSampler(pool=pool(), ways=ways, shots=shots, queries=queries, seed=seed)


def maml(steps: int = 2, first_order: bool = False) -> MAML:
    return MAML(
        model=MLP(inputs=SIZE * SIZE, hidden=(16,), outputs=5), inner_lr=0.1, inner_steps=steps, first_order=first_order
    )


def protonet() -> ProtoNet:
    return ProtoNet(encoder=Conv4(size=SIZE, outputs=None, width=4))
