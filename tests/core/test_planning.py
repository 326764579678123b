"""Plans of actions, in models whose best plan is known by hand or by trying all of them."""

import itertools

import pytest
import torch

from innerloop.core import random
from innerloop.core.environment import Box, Discrete
from innerloop.core.errors import InputError
from innerloop.core.planning import Planner
from innerloop.tasks.environments.cart_pole import CartPole, Motion

KEY = random.mix(0, 0)
PAYS = torch.tensor([[0.0, 2.0, 5.0], [6.0, 1.0, 0.0], [-9.0, -9.0, -9.0]])
"""What an action earns at places 0, 1 and 2; an action also is the next place."""


def ways(plans):
    """[n, candidates] what sequences of three actions earn from place 0: greed takes 5 first, and pays for it."""
    at, worth = torch.zeros_like(plans[..., 0]), torch.zeros(plans.shape[:2])
    for action in plans.unbind(2):
        worth, at = worth + PAYS[at, action], action
    return worth


@pytest.mark.parametrize("rounds", [1, 4])
def test_the_best_of_all_sequences_is_found(rounds):
    every = torch.tensor(list(itertools.product(range(3), repeat=3)))
    best = every[ways(every[None])[0].argmax()].tolist()
    assert best == [1, 0, 2] and ways(torch.tensor([[best]])).item() == 2 + 6 + 5
    plan = Planner(Discrete(3), ahead=3, candidates=60 if rounds == 4 else 300, rounds=rounds).plan(ways, 5, KEY)
    assert plan.tolist() == [best] * 5


def test_the_cross_entropy_method_comes_near_what_is_best_where_shooting_does_not():
    """Three steps of at most 1 towards 1.3, whose squared distances are paid for: 1, 0.3 and 0, worked by hand."""

    def value(plans):
        return -(plans[..., 0].cumsum(-1) - 1.3).square().sum(-1)

    best = torch.tensor([1.0, 0.3, 0.0])
    planner = Planner(Box(1, -1.0, 1.0), ahead=3, candidates=64, rounds=6)
    plans = planner.plan(value, 8, KEY)[..., 0]
    assert float((plans - best).abs().max()) < 0.15 and plans.min() >= -1 and plans.max() <= 1
    shot = Planner(Box(1, -1.0, 1.0), ahead=3, candidates=64).plan(value, 8, KEY)[..., 0]
    assert float(value(shot[:, None, :, None]).mean()) < float(value(plans[:, None, :, None]).mean()) <= -0.09


def test_every_trajectory_has_a_plan_of_its_own_and_a_place_without_a_number_is_none_to_go_to():
    goals = torch.tensor([0, 1, 2])

    def value(plans):
        right = (plans == goals[:, None, None]).float().sum(-1)
        return torch.where(plans[..., 0] == 0, torch.nan, right)

    plans = Planner(Discrete(3), ahead=2, candidates=100).plan(value, 3, KEY)
    assert plans[1:].tolist() == [[1, 1], [2, 2]] and plans[0, 0] != 0


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("rounds", [1, 2])
def test_who_knows_the_cart_keeps_its_pole_up(continuous, rounds):
    """With the true equations in the place of a model, on tasks of both directions."""
    environment = CartPole(continuous=continuous, reversed=0.5)
    planner = Planner(environment.actions, ahead=10, candidates=24, rounds=rounds)

    def steps(key):
        task = environment.draw(key)
        state, lasted, live = environment.start(task, 1, key), torch.zeros(1), torch.ones(1)
        for t in range(60):
            now = state.numbers

            def value(plans, now=now):
                at = Motion(now[:, None].expand(-1, plans.shape[1], -1))
                worth, goes_on = torch.zeros(plans.shape[:2]), torch.ones(plans.shape[:2])
                for action in plans.unbind(2):
                    before = at.numbers
                    at, _, _ = environment.step(task, at, action, key)
                    reward, done = environment.outlook(before, action, at.numbers)
                    worth, goes_on = worth + goes_on * reward, goes_on * ~done
                return worth

            action = planner.plan(value, 1, random.fold(key, t))[:, 0]
            state, reward, done = environment.step(task, state, action, key)
            lasted, live = lasted + live * reward, live * ~done
        return lasted

    assert float(torch.vmap(steps)(random.mix(0, torch.arange(6))).min()) == 60


def test_planners_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="bounds that are finite"):
        Planner(Box(2, -float("inf"), float("inf")))
    with pytest.raises(InputError, match="ahead must be"):
        Planner(Discrete(2), ahead=0)
    with pytest.raises(InputError, match="actions must be Discrete"):
        Planner("left")  # pyright: ignore[reportArgumentType]
