"""What environments have to keep, and what is refused."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from innerloop.core import random, tree
from innerloop.core.config import decode, encode
from innerloop.core.environment import (
    Box,
    Discrete,
    Environment,
    check_environment,
    check_space,
    constants,
    random_actions,
    refuse_not_finite,
)
from innerloop.core.errors import FailedError, InputError
from innerloop.core.types import Batch


@dataclass(frozen=True, kw_only=True)
class Line(Environment[torch.Tensor]):
    """A state that counts; what is wrong with it is an option."""

    horizon: int = 3
    wrong: str = ""

    @property
    def observations(self) -> int:
        return 2 if self.wrong == "length" else 1

    @property
    def actions(self) -> Any:
        return Box(1, float("-inf"), float("inf")) if self.wrong != "actions" else 5

    def draw(self, key: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"step": torch.rand(()) if self.wrong == "draw" else random.uniform(key, ())}

    def start(self, task: Any, n: int, key: torch.Tensor) -> torch.Tensor:
        return torch.zeros(n, 1)

    def observe(self, task: Any, state: torch.Tensor) -> torch.Tensor:
        return state

    def step(self, task: Any, state: Any, action: torch.Tensor, key: torch.Tensor) -> Any:
        state = state + task["step"] * action
        reward = state if self.wrong == "reward" else state[:, 0]
        return state, reward, (state[:, 0] if self.wrong == "done" else state[:, 0] > 1)


def test_one_that_keeps_it_passes():
    check_environment(Line())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("length", r"Line.observe gives \(3, 1\) instead of \(3, 2\)"),
        ("draw", "Line.draw gives another task at a second call with the same key"),
        ("reward", r"Line.step gives reward \(3, 1\)"),
        ("done", r"done \(3,\) torch.float32 instead of"),
        ("actions", "actions must be Discrete"),
    ],
)
def test_one_that_does_not_is_told_what_it_has_to_give(wrong, said):
    with pytest.raises(InputError, match=said):
        check_environment(replace(Line(), wrong=wrong))


@pytest.mark.parametrize("horizon", [0, -1, 2.5, None])
def test_an_episode_has_a_step_at_least(horizon):
    with pytest.raises(InputError, match="Line: horizon must be a whole number"):
        check_environment(replace(Line(), horizon=horizon))


@pytest.mark.parametrize(
    "space",
    [Discrete(0), Discrete(-1), Discrete(True), Box(0, -1, 1), Box(2, 1, 1), Box(1, 0, float("nan")), "left", None],
)
def test_a_space_that_no_policy_has_is_refused(space):
    with pytest.raises(InputError, match="a policy"):
        check_space(space)


def test_random_actions_lie_in_their_space():
    key = random.mix(0, 0)
    chosen, numbers = random_actions(Discrete(3), 600, key), random_actions(Box(2, -1.0, 3.0), 600, key)
    assert sorted(set(chosen.tolist())) == [0, 1, 2] and numbers.shape == (600, 2)
    assert -1 <= numbers.min() < -0.9 and 2.9 < numbers.max() < 3


def test_a_reward_that_is_no_number_is_named_by_task_and_step():
    rewards = torch.zeros(2, 3, 4)
    refuse_not_finite(rewards)
    rewards[1, 2, 3] = torch.nan
    with pytest.raises(FailedError, match="reward is nan in task 41, trajectory 2, at step 3"):
        refuse_not_finite(rewards, first=40)
    live = torch.ones(2, 3, 4, dtype=torch.bool)
    live[1, 2, 3] = False
    refuse_not_finite(rewards, live)


def test_a_file_names_somebody_elses_environment_only_where_that_is_allowed():
    kept = encode(replace(Line(), horizon=7))
    assert decode(kept, allow=("tests",)) == replace(Line(), horizon=7)
    with pytest.raises(InputError, match="outside of innerloop"):
        decode(kept)


def test_constants_lose_the_axis_of_their_row():
    task = {"goal": torch.arange(2.0), "map": torch.ones(3, 3)}
    batch = Batch(tree.map(lambda leaf: leaf[None], task), torch.zeros(1, 1))
    assert all(torch.equal(a, b) for a, b in zip(tree.flatten(constants(batch)), tree.flatten(task), strict=True))
