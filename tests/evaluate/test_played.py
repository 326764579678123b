"""Episodes that are shown are those that a meta-test scores."""

from dataclasses import replace

import pytest
import torch

from innerloop.core.errors import FailedError, InputError
from innerloop.evaluate import meta_test
from innerloop.evaluate.played import play
from innerloop.learners.agents.anil_rl import ANILRL
from innerloop.learners.agents.maml_rl import MAMLRL
from innerloop.learners.agents.rl2 import RL2
from innerloop.learners.agents.scripted import Scripted
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.gru import GRU
from innerloop.nn.mlp import MLP
from innerloop.nn.policy import Gaussian
from innerloop.tasks.environments.cart_pole import CartPole
from innerloop.tasks.environments.navigation import Navigation
from innerloop.tasks.environments.sampler import EnvironmentTasks

PLANE, CART = Navigation(horizon=6), CartPole(horizon=30)
AGENTS = [
    MAMLRL(env=PLANE, model=Gaussian(inputs=2, hidden=(4,), size=2), trajectories=3, inner_steps=2),
    MAMLRL(env=CART, model=MLP(4, (4,), 2), trajectories=5, inner_steps=3, learn_rates=True),
    ANILRL(env=CART, encoder=MLP(4, (), 6), head=MLP(6, (), 2), trajectories=4, inner_steps=1),
    RL2(
        env=PLANE,
        memory=GRU(inputs=6, units=5),
        policy=Gaussian(inputs=5, hidden=(), size=2),
        value=MLP(5, (), 1),
        units=5,
        trajectories=4,
        inner_steps=2,
    ),
]


@pytest.mark.parametrize("learner", AGENTS, ids=lambda a: f"{type(a).__name__}-{type(a.env).__name__}")
def test_returns_are_those_of_a_meta_test_of_that_task(learner):
    params, sampler = learner.init(0), EnvironmentTasks(environment=learner.env, seed=5)
    played = play(learner, params, sampler, 2)
    test = meta_test(learner, params, sampler, 4, quiet=True)
    assert played.episodes[-1].score == test.scores[2].item()
    alone = meta_test(learner, params, sampler, 1, first=2, quiet=True)
    assert [(e.step, e.score) for e in played.episodes] == [(p.step, p.mean) for p in alone.curve or ()]
    assert len({one.score for one in played.episodes}) > 1, "adapting changes what it does"
    for _, score, seen, step_name in played.episodes:
        assert step_name == ("episode" if isinstance(learner, RL2) else "inner step")
        assert sum(seen.returns) / len(seen.returns) == pytest.approx(score, rel=1e-6)
        assert len(seen.returns) == learner.trajectories
    x = sampler.episodes(2, 1).support.x
    assert isinstance(x, dict) and all(torch.equal(played.task[name], x[name][0, 0]) for name in x)
    other = play(learner, params, sampler, 3)
    assert [e.score for e in other.episodes] != [e.score for e in played.episodes]


def test_what_does_not_adapt_is_shown_once():
    played = play(Scripted(env=PLANE, rule="oracle", trajectories=2), {}, EnvironmentTasks(environment=PLANE))
    (only,) = played.episodes
    far = played.task["goal"].abs().max().item()
    assert only.step == 0 and max(only.trajectories.lengths) <= far / 0.1 + 1


def test_what_does_not_act_is_refused_with_what_does():
    with pytest.raises(InputError, match=r"ProtoNet is no agent.*anil_rl, bandit_rule, maml_rl, model_predictive, rl2"):
        play(ProtoNet(encoder=MLP(2, (), 2)), {}, EnvironmentTasks(environment=PLANE))


def test_a_policy_that_is_no_number_is_named():
    learner = replace(AGENTS[0], inner_steps=0)
    params = {name: torch.full_like(value, torch.nan) for name, value in learner.init(0).items()}
    with pytest.raises(FailedError, match="not finite in task 7 after 0 inner steps"):
        play(learner, params, EnvironmentTasks(environment=PLANE), 7)
