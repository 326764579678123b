"""Pictures of environments."""

import re
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from innerloop.core import random
from innerloop.core.environment import Environment, random_actions
from innerloop.core.errors import InputError
from innerloop.report.environments import draw, picture
from innerloop.tasks.environments.bandits import Bandits
from innerloop.tasks.environments.cart_pole import CartPole
from innerloop.tasks.environments.mazes import Mazes
from innerloop.tasks.environments.navigation import Navigation
from innerloop.tasks.environments.point_robot import PointRobot
from innerloop.tasks.environments.tabular import Tabular
from tests.core.test_environment import Line

ALL: list[Environment[Any]] = [
    Navigation(),
    PointRobot(),
    Mazes(),
    Mazes(located=False),
    Bandits(),
    Tabular(),
    CartPole(),
    CartPole(continuous=True),
]


def wandering(environment: Environment[Any], task: Any, steps: int = 8) -> torch.Tensor:
    """[steps, d] what an agent sees that acts at random."""
    key = random.mix(0, 0)
    state, seen = environment.start(task, 1, key), []
    for t in range(steps):
        seen.append(environment.observe(task, state)[0])
        action = random_actions(environment.actions, 1, random.fold(key, t))
        state, _, _ = environment.step(task, state, action, random.fold(key, t))
    return torch.stack(seen)


@pytest.mark.parametrize("environment", ALL, ids=lambda e: type(e).__name__)
def test_each_has_a_picture_with_and_without_trajectories(environment):
    task = environment.draw(random.mix(0, 1))
    plain = picture("one", environment, task)
    paths = [wandering(environment, task)]
    walked = picture("one", environment, task, paths)
    assert all(text.startswith("<svg") and 'id="one-' in text for text in (plain, walked))
    if not isinstance(environment, Bandits) and getattr(environment, "located", True):
        assert plain != walked
    assert picture("one", environment, task, paths) == walked


def test_a_maze_shows_its_walls_and_the_way_through_them():
    environment = Mazes()
    task = environment.draw(random.mix(0, 1))
    axes = Figure().add_subplot()
    path = wandering(environment, task, 12)
    draw(axes, environment, task, [path])
    assert torch.equal(torch.tensor(axes.images[0].get_array()), task["walls"])
    columns, rows = (torch.as_tensor(values).round().long() for values in axes.lines[0].get_data())
    assert torch.equal(torch.stack([rows[0], columns[0]]), task["start"]) and (task["walls"][rows, columns] == 0).all()


def test_another_task_is_another_picture():
    environment = Navigation()
    first, second = (picture("one", environment, environment.draw(random.mix(0, i))) for i in range(2))
    assert re.sub(r'id="[^"]*"', "", first) != re.sub(r'id="[^"]*"', "", second)


def test_others_have_none():
    with pytest.raises(InputError, match="Line has no picture: only Navigation"):
        picture("one", Line(), {})
