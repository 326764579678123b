"""Rules that learn nothing, whose returns are known."""

import math
from typing import Any

import pytest
import torch

from innerloop.core import tree
from innerloop.core.environment import Box
from innerloop.core.errors import InputError
from innerloop.core.recorder import recorded
from innerloop.learners.agents.scripted import Scripted
from innerloop.tasks.environments.bandits import Bandits
from innerloop.tasks.environments.cart_pole import CartPole
from innerloop.tasks.environments.navigation import Navigation
from tests.agents import AgentConformance, tasks


class TestScripted(AgentConformance):
    learner = Scripted(env=Navigation(horizon=3), rule="random", trajectories=4)


class TestOracle(AgentConformance):
    learner = Scripted(env=Bandits(horizon=3), rule="oracle", trajectories=4)


def test_the_straight_way_earns_what_is_known_of_it():
    learner = Scripted(env=Navigation(), rule="oracle", trajectories=1)
    unseen = tasks(Navigation(), 400, seed=1)
    one = torch.vmap(lambda e: learner.predict({}, e.support.key, e.query.x), in_dims=(tree.axes(unseen),))
    assert float(one(unseen).mean()) == pytest.approx(-0.51, abs=0.05)


def test_the_best_arm_and_any_arm_earn_their_chances():
    environment = Bandits(horizon=200)
    episode = tree.slice(tasks(environment, 1), 0)
    chances = episode.support.x["chances"][0]

    def earned(rule):
        learner = Scripted(env=environment, rule=rule, trajectories=200)
        return float(learner.predict({}, learner.adapt({}, episode.support), episode.query.x)) / 200

    assert earned("oracle") == pytest.approx(float(chances.max()), abs=0.02)
    assert earned("random") == pytest.approx(float(chances.mean()), abs=0.02)


def test_random_actions_know_nothing_of_the_task():
    learner = Scripted(env=Navigation(horizon=1), trajectories=1)
    drawn = tasks(Navigation(horizon=1), 300)
    one = torch.vmap(
        lambda e: learner.predict({}, learner.adapt({}, e.support), e.query.x), in_dims=(tree.axes(drawn),)
    )
    constants: Any = drawn.support.x
    goals, earned = constants["goal"][:, 0], one(drawn)[:, 0, 0]
    # What a uniform first step earns on average, and what one whose direction is the goal's would.
    blind = -(0.2 * torch.rand(300, 500, 2, generator=torch.manual_seed(0)) - 0.1 - goals[:, None]).norm(dim=-1).mean(1)
    assert abs(float((earned - blind).mean())) < 0.012
    assert float((-(0.8 * goals).norm(dim=-1) - blind).mean()) > 0.06


def test_random_actions_go_on_where_the_first_trajectory_has_ended():
    environment = recorded(CartPole(horizon=60))
    learner = Scripted(env=environment, trajectories=6)  # pyright: ignore[reportArgumentType]
    firsts = []
    for index in range(4):
        episode = tree.slice(tasks(environment.environment, 4), index)
        learner.predict({}, learner.adapt({}, episode.support), episode.query.x)
        done = environment.trajectories()
        first, longest = done.lengths[0], max(range(6), key=done.lengths.__getitem__)
        firsts.append(done.lengths[longest] - first)
        alive = done.actions[longest, first : done.lengths[longest]]
        assert len(alive) < 8 or alive.unique().tolist() == [0, 1]
    assert max(firsts) >= 8


def test_random_actions_have_a_meaning_without_bounds():
    class Free(Navigation):
        @property
        def actions(self):
            return Box(2, -math.inf, math.inf)

    drawn = tree.slice(tasks(Navigation(), 1), 0)
    learner = Scripted(env=Free(horizon=3))
    assert learner.predict({}, learner.adapt({}, drawn.support), drawn.query.x).isfinite().all()


def test_an_environment_without_an_oracle_is_refused_by_name():
    class Silent(Navigation):
        oracle: Any = None

    with pytest.raises(InputError, match="Silent says nothing of what is best"):
        Scripted(env=Silent(), rule="oracle")
    assert torch.is_tensor(Navigation().oracle({"goal": torch.ones(2)}, torch.zeros(3, 2)))
