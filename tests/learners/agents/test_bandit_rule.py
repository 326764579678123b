"""Thompson's and Gittins's rules, against enumerations of all that arms can pay."""

from functools import cache

import pytest
import torch

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.learners.agents.bandit_rule import BanditRule, beta, indices
from innerloop.tasks.environments.bandits import Bandits
from innerloop.tasks.environments.navigation import Navigation
from tests.agents import AgentConformance, tasks


class TestThompson(AgentConformance):
    learner = BanditRule(env=Bandits(arms=3, horizon=3), rule="thompson", trajectories=4)


class TestGittins(AgentConformance):
    learner = BanditRule(env=Bandits(arms=3, horizon=3), rule="gittins", trajectories=4)


def expected(arms, horizon, choose):
    """What arms of uniform chances pay in the mean, all rewards enumerated; `choose` picks among states and values."""

    @cache
    def worth(state, left):
        if not left:
            return 0.0
        values = []
        for i, (paid, failed) in enumerate(state):
            chance = (paid + 1) / (paid + failed + 2)
            after = [
                tuple(sorted((*state[:i], new, *state[i + 1 :]))) for new in ((paid + 1, failed), (paid, failed + 1))
            ]
            values.append(chance * (1 + worth(after[0], left - 1)) + (1 - chance) * worth(after[1], left - 1))
        return values[choose(state, left, values)]

    return worth(((0, 0),) * arms, horizon)


def best(state, left, values):
    return max(range(len(values)), key=values.__getitem__)


def by_index(horizon):
    table = indices(horizon).tolist()
    return lambda state, left, values: max(range(len(state)), key=lambda i: table[left][state[i][0]][state[i][1]])


def test_an_index_is_the_mean_at_the_last_pull_and_more_before():
    table = indices(4)
    assert float(table[1, 2, 1]) == pytest.approx(3 / 5, abs=1e-12)
    # With two pulls left: 1/2 - p + 1/2 (2/3 - p) = 0.
    assert float(table[2, 0, 0]) == pytest.approx(5 / 9, abs=1e-5)
    reachable = torch.arange(5)[:, None] + torch.arange(5) <= 1
    assert bool((table[3] >= table[2])[reachable].all()) and not table[4, 1:].any()


@pytest.mark.parametrize(("arms", "horizon"), [(2, 3), (3, 5), (5, 10)])
def test_with_few_pulls_gittins_earns_what_the_best_of_all_strategies_does(arms, horizon):
    optimum = expected(arms, horizon, best)
    assert expected(arms, horizon, by_index(horizon)) == pytest.approx(optimum, rel=1e-3)
    if (arms, horizon) == (2, 3):
        assert optimum == pytest.approx(5 / 3, abs=1e-12)


@pytest.mark.parametrize(("rule", "known"), [("gittins", 6.66), ("thompson", 5.83)])
def test_ten_pulls_of_five_arms_earn_what_is_known(rule, known):
    learner, unseen = BanditRule(env=Bandits(), rule=rule, trajectories=8), tasks(Bandits(), 3000, seed=1)
    one = torch.vmap(lambda e: learner.predict({}, e.support.key, e.query.x), in_dims=(tree.axes(unseen),))
    returns = one(unseen)
    assert float(returns.mean()) == pytest.approx(known, abs=3 * float(returns.std()) / 3000**0.5)


def test_the_first_draw_knows_nothing_of_the_chances():
    env = Bandits(arms=2, horizon=1)
    learner, unseen = BanditRule(env=env, trajectories=1), tasks(env, 4000, seed=1)
    one = torch.vmap(lambda e: learner.predict({}, e.support.key, e.query.x), in_dims=(tree.axes(unseen),))
    assert float(one(unseen).mean()) == pytest.approx(0.5, abs=3 * 0.5 / 4000**0.5)


def test_draws_of_the_posterior_have_its_mean_and_variance():
    paid, failed = torch.tensor([[3, 0]]).expand(40_000, 2), torch.tensor([[1, 0]]).expand(40_000, 2)
    drawn = beta(random.mix(0, 0), paid, failed, 10)
    assert drawn.mean(0).tolist() == pytest.approx([4 / 6, 1 / 2], abs=0.01)
    assert drawn.var(0).tolist() == pytest.approx([4 * 2 / (36 * 7), 1 / 12], abs=0.003)


def test_what_is_no_bandit_is_refused_by_name():
    with pytest.raises(InputError, match="Navigation is no bandit"):
        BanditRule(env=Navigation())
