"""Drawn Markov decision processes."""

from typing import Any

import numpy as np
import torch

from innerloop.core import random
from innerloop.tasks import draws
from innerloop.tasks.environments.tabular import Place, Tabular
from tests.tasks.environments.contract import Constants, Contract


class Chain:
    """One walk through a table of transitions."""

    def __init__(self, task: Constants) -> None:
        self.transitions, self.means, self.state = task["transitions"], task["means"], 0

    def reset(self, key: Any, row: int, rows: int) -> Any:
        self.state = 0
        return np.eye(len(self.means))[0]

    def step(self, action: Any, key: Any, row: int, rows: int) -> tuple[Any, float, bool]:
        chosen = int(action)
        noise, where = draws.fold(key, 0), draws.fold(key, 1)
        u = draws.uniform(draws.fold(noise, 1), rows)[0, row].astype(np.float64)
        v = draws.uniform(draws.fold(noise, 2), rows)[0, row].astype(np.float64)
        normal = np.sqrt(-2 * np.log1p(-u)) * np.cos(2 * np.pi * v)
        reward = self.means[self.state, chosen] + normal
        below, drawn = 0.0, draws.uniform(where, rows)[0, row]
        for state, chance in enumerate(self.transitions[self.state, chosen]):
            below += chance
            if drawn < below:
                self.state = state
                break
        return np.eye(len(self.means))[self.state], float(reward), False


class TestTabular(Contract):
    environment = Tabular()

    def reference(self, task: Constants) -> Chain:
        return Chain(task)


def test_tables_are_distributions_and_rewards_are_around_one():
    drawn = torch.vmap(Tabular().draw)(random.mix(1, torch.arange(400)))
    table, means = drawn["transitions"], drawn["means"]
    assert table.shape == (400, 10, 5, 10) and (table >= 0).all()
    torch.testing.assert_close(table.sum(-1), torch.ones(400, 10, 5))
    # Of a flat Dirichlet of 10, mean 1/10 and variance 9/1100 of each share.
    assert abs(table.var().item() - 9 / 1100) < 3e-4
    assert abs(means.mean().item() - 1) < 0.02 and abs(means.std().item() - 1) < 0.02


def test_states_are_entered_as_often_as_the_table_says():
    environment, n = Tabular(states=3, choices=1), 60_000
    task = environment.draw(random.mix(3, 0))
    key, state = random.mix(0, 0), Place(torch.ones(n, dtype=torch.int64))
    state, reward, _ = environment.step(task, state, torch.zeros(n, dtype=torch.int64), key)
    shares = torch.bincount(state.place, minlength=3) / n
    torch.testing.assert_close(shares, task["transitions"][1, 0], rtol=0, atol=0.01)
    assert abs(reward.mean().item() - task["means"][1, 0].item()) < 0.02 and abs(reward.std().item() - 1) < 0.02
