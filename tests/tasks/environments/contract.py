"""What every environment keeps, against a reference written by hand in NumPy, one trajectory at a time."""

from typing import Any, ClassVar, Protocol

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from innerloop.core import random, tree
from innerloop.core.config import decode, encode
from innerloop.core.environment import Environment, check_environment, random_actions
from innerloop.core.errors import InputError

TASKS, ROWS, STEPS = 4, 3, 30
Constants = dict[str, NDArray[Any]]


class Reference(Protocol):
    """One trajectory in NumPy; keys are [1], and row i of n draws number i of what a key gives to n rows."""

    def reset(self, key: NDArray[Any], row: int, rows: int) -> NDArray[Any]:
        """The first observation."""
        ...

    def step(self, action: Any, key: NDArray[Any], row: int, rows: int) -> tuple[NDArray[Any], float, bool]:
        """Observation, reward and done."""
        ...


def actions(environment: Environment[Any], dtype: torch.dtype) -> torch.Tensor:
    """[tasks, steps, rows, ...] actions, some of them out of bounds where there are bounds."""
    drawn = [
        [random_actions(environment.actions, ROWS, random.mix(100 + i, t), dtype) for t in range(STEPS)]
        for i in range(TASKS)
    ]
    stacked = torch.stack([torch.stack(rows) for rows in drawn])
    return 1.3 * stacked if stacked.is_floating_point() else stacked


def tasks(environment: Environment[Any], dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """The constants of a few tasks, stacked."""
    drawn = torch.vmap(environment.draw)(random.mix(7, torch.arange(TASKS)))
    return tree.map(lambda leaf: leaf.to(dtype) if leaf.is_floating_point() else leaf, drawn)


def walk(
    environment: Environment[Any], task: dict[str, torch.Tensor], taken: torch.Tensor, key: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Observations [steps + 1, rows, d], rewards and done [steps, rows] of actions that are all taken."""
    state = environment.start(task, ROWS, random.fold(key, 0))
    seen, rewards, done = [environment.observe(task, state)], [], []
    for t in range(STEPS):
        state, reward, end = environment.step(task, state, taken[t], random.fold(key, t + 1))
        seen.append(environment.observe(task, state))
        rewards.append(reward)
        done.append(end)
    return torch.stack(seen), torch.stack(rewards), torch.stack(done)


class Contract:
    """Inherited by the tests of every environment."""

    environment: ClassVar[Any]

    def reference(self, task: Constants) -> Reference:
        """A trajectory of a task, in NumPy."""
        raise NotImplementedError

    def test_it_keeps_the_contract(self):
        check_environment(self.environment)

    @pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 2e-5), (torch.float64, 1e-12)])
    def test_trajectories_are_those_of_the_reference(self, dtype, close):
        drawn, taken = tasks(self.environment, dtype), actions(self.environment, dtype)
        for i in range(TASKS):
            task, key = tree.slice(drawn, i), random.mix(11, i)
            seen, rewards, done = walk(self.environment, task, taken[i], key)
            assert seen.dtype == rewards.dtype == dtype and done.dtype == torch.bool
            for row in range(ROWS):
                want = self._by_hand(tree.map(lambda leaf: leaf.double().numpy(), task), taken[i, :, row], key, row)
                torch.testing.assert_close(seen[:, row].double(), want[0], rtol=close, atol=close)
                torch.testing.assert_close(rewards[:, row].double(), want[1], rtol=close, atol=close)
                assert torch.equal(done[:, row], want[2])

    def _by_hand(self, task: Constants, taken: torch.Tensor, key: torch.Tensor, row: int) -> tuple[torch.Tensor, ...]:
        def number(n: int) -> NDArray[Any]:
            return random.fold(key, n).reshape(1).numpy().astype(np.uint32)

        one = self.reference(task)
        seen, rewards, done = [one.reset(number(0), row, ROWS)], [], []
        for t in range(STEPS):
            observation, reward, end = one.step(taken[t].double().numpy(), number(t + 1), row, ROWS)
            seen.append(observation)
            rewards.append(reward)
            done.append(bool(end))
        return torch.tensor(np.array(seen)), torch.tensor(rewards, dtype=torch.float64), torch.tensor(done)

    def test_all_tasks_at_once_are_the_tasks_one_by_one(self):
        drawn, taken = tasks(self.environment), actions(self.environment, torch.float32)
        keys = random.mix(11, torch.arange(TASKS))
        stacked = torch.vmap(lambda task, a, key: walk(self.environment, task, a, key))(drawn, taken, keys)
        alone = [walk(self.environment, tree.slice(drawn, i), taken[i], keys[i]) for i in range(TASKS)]
        for together, one in zip(stacked, tree.stack([tuple(a) for a in alone]), strict=True):
            torch.testing.assert_close(together, one, rtol=1e-6, atol=1e-6)

    def test_tasks_differ_and_depend_on_their_key_alone(self):
        one, again, other = (self.environment.draw(random.mix(3, i)) for i in (0, 0, 1))
        assert all(torch.equal(a, b) for a, b in zip(tree.flatten(one), tree.flatten(again), strict=True))
        assert any(not torch.equal(a, b) for a, b in zip(tree.flatten(one), tree.flatten(other), strict=True))

    def test_a_file_names_it(self):
        assert decode(encode(self.environment)) == self.environment

    @pytest.mark.parametrize("horizon", [0, -1, 2.5, "long"])
    def test_a_horizon_is_a_number_of_steps(self, horizon):
        with pytest.raises(InputError, match="horizon must be a whole number of at least 1"):
            type(self.environment)(horizon=horizon)  # pyright: ignore[reportArgumentType]
