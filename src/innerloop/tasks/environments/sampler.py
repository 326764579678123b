"""Tasks of an environment as episodes: the constants are what a learner is handed, and all else it has to find out."""

from dataclasses import dataclass
from typing import Any

import torch

from innerloop.core import random, tree
from innerloop.core.config import identify
from innerloop.core.environment import Environment, check_space
from innerloop.core.ranges import Checked
from innerloop.core.types import Batch, Episode
from innerloop.tasks import draws

_QUERY = 0xE47


@dataclass(frozen=True, kw_only=True)
class EnvironmentTasks(Checked):
    """Tasks of an environment. A learner rolls out on the constants of a task, and its score is the return.

    The rollouts before adaptation draw from the key of the support, those after it from that of the query.
    """

    environment: Environment[Any]
    seed: int = 0

    def __post_init__(self) -> None:
        check_space(self.environment.actions)

    def episodes(self, first: int, count: int) -> Episode:
        """Tasks `first .. first + count - 1`, stacked: x the constants, each [count, 1, ...], y zeros [count, 1, 1].

        Raises:
            InputError: These are no whole numbers, or the count is negative.
        """
        keys = draws.keys(self.seed, first, count)
        task = torch.vmap(self.environment.draw)(random.fold(draws.tensor(keys), 0))
        x = tree.map(lambda leaf: leaf[:, None], task)
        y = torch.zeros(count, 1, 1)
        query = draws.tensor(draws.fold(keys, _QUERY))
        return Episode(Batch(x, y, key=draws.tensor(keys)), Batch(x, y, key=query))

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        name = type(self.environment).__name__
        about: dict[str, object] = {"kind": "environment", "score": "return", "dataset": name}
        return about | {"environment": identify(self.environment), "seed": self.seed}
