"""MAML for agents, whose oracle is an enumeration of what a two-armed bandit can pay."""

import math
from dataclasses import replace

import pytest
import torch

from innerloop.core import tree
from innerloop.core.agent import Collected, Experience
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.rollout import Rollout
from innerloop.engine import meta_gradient
from innerloop.engine.plan import Plan
from innerloop.engine.trust_region import TrustRegion
from innerloop.learners.agents.maml_rl import MAMLRL
from innerloop.nn.mlp import MLP
from innerloop.nn.policy import Gaussian
from innerloop.tasks.environments.bandits import Bandits
from innerloop.tasks.environments.navigation import Navigation
from innerloop.tasks.environments.sampler import EnvironmentTasks
from tests.agents import AgentConformance, tasks
from tests.compared import distance

PLANE = MAMLRL(env=Navigation(horizon=3), model=Gaussian(hidden=(6,)), trajectories=4, inner_steps=2)
ARMS = MAMLRL(
    env=Bandits(arms=2, horizon=3), model=MLP(inputs=1, hidden=(3,), outputs=2, activation="tanh"), trajectories=5
)


class TestMAMLRL(AgentConformance):
    learner = PLANE


class TestMAMLRLWithRatesAndRatio(AgentConformance):
    learner = replace(PLANE, learn_rates=True, inner_loss="ratio", squash=True, floor=0.0, bound=None)


class TestMAMLRLFirstOrderOnArms(AgentConformance):
    learner = replace(ARMS, first_order=True)


def test_a_recording_gives_the_loops_gradient():
    """Of one short task: the slow suite records more."""
    learner, episodes = replace(ARMS, env=Bandits(arms=2, horizon=1)), tasks(Bandits(arms=2, horizon=1), 2)
    params = {k: v.double() for k, v in learner.init(0).items()}
    expected, found = (meta_gradient(learner, params, episodes, plan)[0] for plan in ("loop", Plan("replay", 2)))
    assert distance(found, expected) < 1e-12


class Logits(torch.nn.Module):
    """Two logits, whatever is seen."""

    def __init__(self):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor([0.3, -0.2]))

    def forward(self, x):
        return self.logits.expand(len(x), 2)


def enumerated(theta, pulls, worth, rewards, rate):
    """Minus the expected reward of one pull after adaptation, every action weighed by its probability."""
    chances = torch.softmax(theta, -1)
    # The gradient of the mean of log p(a) times its worth, by hand: one_hot(a) - p.
    slope = -sum(w * (torch.eye(2, dtype=theta.dtype)[a] - chances) for a, w in zip(pulls, worth, strict=True)) / len(
        pulls
    )
    return -(torch.softmax(theta - rate * slope, -1) * rewards).sum()


def test_at_horizon_one_the_meta_gradient_is_an_enumeration_over_all_actions():
    learner = MAMLRL(env=Bandits(arms=2, horizon=1), model=Module(Logits), inner_lr=0.7, bound=None, trajectories=4)
    theta, double = torch.tensor([0.3, -0.2], dtype=torch.float64), torch.float64
    pulls, worth = [0, 1, 1, 0], torch.tensor([1.0, -0.5, 0.25, 2.0], dtype=double)
    rewards = torch.tensor([0.2, 0.9], dtype=double)

    def run(actions, gains, logits):
        n = len(actions)
        live = torch.ones(n, 1, dtype=torch.bool)
        zeros = torch.zeros(n, 1, 1, dtype=double)
        kept = Rollout(zeros, torch.tensor(actions)[:, None], logits.expand(n, 1, 2), gains[:, None], live, live)
        return Experience(kept, gains[:, None])

    # Each arm once, drawn with chances of a half, so that the mean of ratio times reward is the sum of p(a) reward(a).
    collected = Collected((run(pulls, worth, theta),), run([0, 1], rewards, torch.zeros(2, dtype=double)))
    episode = tree.slice(tasks(learner.env, 1), 0)

    def loss(leaf):
        seen = learner.replay({"logits": leaf}, episode, collected)
        return -(seen.log_ratio.exp() * seen.advantages).mean()

    (found,) = torch.autograd.grad(loss(leaf := theta.clone().requires_grad_()), leaf)
    (expected,) = torch.autograd.grad(
        enumerated(other := theta.clone().requires_grad_(), pulls, worth, rewards, 0.7), other
    )
    assert torch.allclose(found, expected, rtol=1e-12, atol=0)
    plain = torch.autograd.functional.jacobian(lambda t: enumerated(t, pulls, worth, rewards, 0.0), theta)
    assert not torch.allclose(found, plain, rtol=1e-2), "adaptation must matter"


def test_a_step_is_no_longer_than_its_bound():
    episode = tree.slice(tasks(PLANE.env, 1), 0)
    params = {k: v.double() for k, v in PLANE.init(0).items()}

    def moved(learner):
        weights = learner.unroll(params, episode.support, 1).weights
        return float(torch.stack([(weights[k] - params[k]).square().sum() for k in params]).sum().sqrt())

    with torch.no_grad():
        free = moved(replace(PLANE, bound=None))
        assert moved(replace(PLANE, bound=0.1 * free / 0.3)) == pytest.approx(0.1 * free, rel=1e-6)
        assert moved(replace(PLANE, bound=10 * free / 0.3)) == pytest.approx(free, rel=1e-12)


def test_the_deviation_has_a_floor():
    params = {k: v.double() for k, v in PLANE.init(0).items()}
    low = params | {"log_std": torch.full((2,), -3.0).double()}
    outputs = PLANE.outputs(low, torch.zeros(1, 2).double())
    at, other = (PLANE.actions.log_prob(outputs, torch.full((1, 2), x).double()) for x in (0.0, 0.3))
    assert float(at - other) < 2.5  # a deviation of exp(-3) would make it 36
    assert float(PLANE.actions.entropy(outputs)) == pytest.approx(
        2 * (math.log(0.3) + 0.5 * math.log(2 * math.pi) + 0.5)
    )


@pytest.mark.slow
def test_it_learns_to_walk_to_a_goal_that_it_does_not_see():
    environment = Navigation(horizon=20)
    learner = MAMLRL(env=environment, model=Gaussian(hidden=(32,)))
    params, sampler, update = learner.init(0), EnvironmentTasks(environment=environment), TrustRegion(every=2)
    state = update.begin(learner, params, sampler.episodes(0, 1))
    for number in range(25):
        params, state, _ = update.step(learner, params, state, sampler.episodes(20 * number, 20), number, 1.0)
    unseen = EnvironmentTasks(environment=environment, seed=9).episodes(0, 60)

    def earned(episode):
        carries = (learner.unroll(params, episode.support, steps) for steps in (0, 1))
        actors = (learner.finish(params, carry, episode.support) for carry in carries)
        return torch.stack([learner.predict(params, actor, episode.query.x)[0, 0] for actor in actors])

    with torch.no_grad():
        before, after = torch.vmap(earned, in_dims=(tree.axes(unseen),))(unseen).mean(0).tolist()
    assert after > before + 1.0


def test_what_no_policy_can_have_is_refused():
    with pytest.raises(InputError, match="needs actions between bounds"):
        MAMLRL(env=Bandits(), model=MLP(inputs=1, outputs=5), squash=True)
    with pytest.raises(InputError, match="trajectories must be"):
        MAMLRL(env=Bandits(), model=MLP(inputs=1, outputs=5), trajectories=0)
