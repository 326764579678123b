"""Our environments as Gymnasium's."""

import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from innerloop.core import random
from innerloop.core.environment import Environment
from innerloop.core.errors import InputError
from innerloop.tasks.environments.bandits import Bandits
from innerloop.tasks.environments.cart_pole import CartPole
from innerloop.tasks.environments.mazes import Mazes
from innerloop.tasks.environments.navigation import Navigation
from innerloop.tasks.environments.point_robot import PointRobot
from innerloop.tasks.environments.tabular import Tabular
from innerloop.tasks.outside.as_gymnasium import as_gymnasium
from innerloop.tasks.outside.gymnasium_tasks import GymnasiumTasks

pytest.importorskip("gymnasium")
ALL: list[Environment[Any]] = [
    Bandits(),
    CartPole(),
    CartPole(continuous=True),
    Mazes(),
    Mazes(view="map"),
    Navigation(),
    PointRobot(),
    Tabular(),
]


@pytest.mark.parametrize("environment", ALL, ids=str)
def test_gymnasiums_checker_passes_each(environment):
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for allowed in (
            "a Box observation space m.* value is",
            "For Box action spaces",
            "Not able to test alternative render",
        ):
            warnings.filterwarnings("ignore", f".*{allowed}")
        check_env(as_gymnasium(environment))


def test_an_episode_is_that_of_the_environment():
    environment = Navigation(horizon=5)
    task = {"goal": torch.tensor([0.2, -0.1])}
    env = as_gymnasium(environment, task)
    first, _ = env.reset(seed=1)
    state, ends = environment.start(task, 1, random.mix(0, 0)), []
    np.testing.assert_array_equal(first, [0, 0])
    for t in range(5):
        action = np.array([0.02 * t, -0.03], np.float32)
        seen, reward, done, truncated, _ = env.step(action)
        state, want, end = environment.step(task, state, torch.tensor(action)[None], random.mix(0, 0))
        np.testing.assert_array_equal(seen, state.position[0].numpy())
        assert reward == want.item() and done == end.item()
        ends.append(truncated)
    assert ends == [False] * 4 + [True]


def test_a_seed_gives_the_same_task_and_episode_again_and_none_another():
    env: Any = as_gymnasium(Bandits())
    env.reset(seed=3)
    chances = env.task["chances"]
    rewards = [[env.step(0)[1] for _ in range(10)]]
    env.reset(seed=3)
    rewards.append([env.step(0)[1] for _ in range(10)])
    assert torch.equal(env.task["chances"], chances) and rewards[0] == rewards[1]
    env.reset()
    assert not torch.equal(env.task["chances"], chances)
    env.reset(options={"task": 4})
    fourth = env.task["chances"]
    env.reset(options={"task": 4})
    assert torch.equal(env.task["chances"], fourth)


def test_an_action_outside_of_the_space_is_refused():
    env = as_gymnasium(Bandits(arms=2))
    env.reset(seed=0)
    with pytest.raises(InputError, match=r"2 is no action of Discrete\(2\)"):
        env.step(2)


def test_there_and_back_again():
    """Our environment, as theirs, as ours: the same walk."""
    outside = GymnasiumTasks(make=_goal, draw=lambda rng: {"x": rng.uniform(-0.5, 0.5)}, horizon=5).environment
    inside, key = Navigation(horizon=5), random.mix(0, 0)
    assert (outside.observations, outside.actions.size) == (2, 2)  # pyright: ignore[reportAttributeAccessIssue]
    number = outside.draw(key)
    x = np.random.default_rng(int(number["number"])).uniform(-0.5, 0.5)
    task = {"goal": torch.tensor([x, 0.0], dtype=torch.float32)}
    theirs, ours = outside.start(number, 2, key), inside.start(task, 2, key)
    for t in range(5):
        action = torch.tensor([[0.1, 0.05], [-0.05, 0.3]])
        theirs, reward, _ = outside.step(number, theirs, action, random.fold(key, t))
        ours, want, _ = inside.step(task, ours, action, random.fold(key, t))
        torch.testing.assert_close(reward, want)
        torch.testing.assert_close(outside.observe(number, theirs), inside.observe(task, ours))


def _goal(x: float) -> Any:
    return as_gymnasium(Navigation(horizon=5), {"goal": torch.tensor([x, 0.0])})


def test_without_gymnasium_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(InputError, match=r"pip install 'innerloop\[rl\]'"):
        as_gymnasium(Navigation())
