"""Tasks of environments as episodes."""

import json

import pytest
import torch

from innerloop.core import random, scores, tree
from innerloop.core.environment import constants
from innerloop.core.errors import InputError
from innerloop.core.types import Batch
from innerloop.tasks.environments.bandits import Bandits
from innerloop.tasks.environments.mazes import Mazes
from innerloop.tasks.environments.navigation import Navigation
from innerloop.tasks.environments.sampler import EnvironmentTasks


@pytest.mark.parametrize("environment", [Navigation(), Mazes(), Bandits()])
def test_an_episode_is_a_function_of_seed_and_index_alone(environment):
    sampler = EnvironmentTasks(environment=environment, seed=3)
    many, few = sampler.episodes(0, 5), sampler.episodes(3, 1)
    for together, alone in zip(tree.flatten(many), tree.flatten(few), strict=True):
        assert torch.equal(together[3:4], alone)
    assert torch.equal(many.support.key, random.mix(3, torch.arange(5)))  # pyright: ignore[reportArgumentType]
    other = EnvironmentTasks(environment=environment, seed=4).episodes(0, 5)
    assert not torch.equal(tree.flatten(other)[0], tree.flatten(many)[0])


def test_constants_are_the_support_and_the_query_and_nothing_is_to_be_predicted():
    sampler = EnvironmentTasks(environment=Navigation(), seed=3)
    support, query = tree.slice(sampler.episodes(0, 4), 2)
    goal = constants(support)["goal"]
    assert goal.shape == (2,) and torch.equal(goal, constants(query)["goal"]) and (goal.abs() <= 0.5).all()
    assert support.y.shape == (1, 1) and support.y.is_floating_point() and support.key != query.key


def test_its_score_is_the_return_and_more_is_better():
    sampler = EnvironmentTasks(environment=Bandits(arms=3))
    score = scores.of_sampler(sampler)
    assert (score.name, score.label, score.higher_is_better) == ("return", "mean return", True)
    returns = torch.tensor([[1.0], [2.0]])
    assert score.of(returns, Batch(torch.zeros(2, 1), torch.zeros(2, 1))).tolist() == [1.5]
    about = json.loads(json.dumps(sampler.describe()))
    assert about["environment"]["fields"]["arms"] == 3 and about["dataset"] == "Bandits"


def test_bad_indices_are_refused():
    with pytest.raises(InputError, match="whole numbers"):
        EnvironmentTasks(environment=Bandits()).episodes(0, -1)


def test_something_else_is_no_environment():
    with pytest.raises(InputError, match=r"environment must be an environment, such as Navigation\(\)"):
        EnvironmentTasks(environment=3)  # pyright: ignore[reportArgumentType]
