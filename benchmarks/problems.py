"""What is computed: networks, tasks, rates; the same for every contender."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from innerloop.core import random, tree
from innerloop.core.model import Model
from innerloop.core.objectives import Objective, classification, regression
from innerloop.core.types import Batch, Episode, Params
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import MLP
from innerloop.tasks import Sinusoid

META_LR = 1e-3


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Tasks ready in memory, and the network that learns them."""

    model: Model
    episodes: Callable[[int], Episode]
    """Of so many tasks."""
    inner_lr: float
    objective: Objective = classification

    def network(self) -> nn.Module:
        """An ordinary module with the initial parameters that `model.init(0)` gives."""
        module = self.model.build()
        with torch.no_grad():
            for name, value in self.model.init(0).items():
                module.get_parameter(name).copy_(value)
        return module

    def params(self) -> Params:
        return self.model.init(0)

    def loss(self) -> nn.Module:
        """The torch module that peers' users write."""
        return nn.MSELoss() if self.objective is regression else nn.CrossEntropyLoss()

    def tasks(self, count: int) -> list[tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]]:
        """((support x, y), (query x, y)) of each task."""
        support, query = self.episodes(count)
        assert isinstance(support.x, Tensor) and isinstance(query.x, Tensor)
        return [((support.x[i], support.y[i]), (query.x[i], query.y[i])) for i in range(count)]


def pictures(tasks: int, ways: int, queries: int, size: int = 28, shots: int = 1, channels: int = 1) -> Episode:
    """Noise in the shape of few-shot episodes: speed does not depend on what is drawn."""

    def batch(key: Tensor, each: int) -> Batch:
        y = torch.arange(ways).repeat_interleave(each).expand(tasks, -1)
        x = random.uniform(key, (tasks, ways * each, channels, size, size))
        return Batch(x, y, classes=torch.ones(tasks, ways, dtype=torch.bool))

    made = Episode(batch(torch.tensor(1), shots), batch(torch.tensor(2), queries))
    return tree.map(Tensor.contiguous, made)


def sinusoids(tasks: int, shots: int = 10) -> Episode:
    return Sinusoid(shots=shots, queries=10).episodes(0, tasks)


OMNIGLOT = Problem(model=Conv4(pool="stride"), episodes=lambda n: pictures(n, 5, 15), inner_lr=0.4)
PROBLEMS = {
    "omniglot": OMNIGLOT,
    "omniglot, max-pool": replace(OMNIGLOT, model=Conv4()),
    "84 x 84": Problem(
        model=Conv4(channels=3, size=84, width=32),
        episodes=lambda n: pictures(n, 5, 15, size=84, shots=5, channels=3),
        inner_lr=0.01,
    ),
    "sinusoid": Problem(model=MLP(), episodes=sinusoids, inner_lr=0.01, objective=regression),
    "sinusoid, 3 layers": Problem(
        model=MLP(hidden=(40, 40, 40)), episodes=lambda n: sinusoids(n, shots=5), inner_lr=0.01, objective=regression
    ),
    "20 ways, 5 shots": Problem(
        model=Conv4(outputs=None), episodes=lambda n: pictures(n, 20, 5, shots=5), inner_lr=0.0
    ),
}
