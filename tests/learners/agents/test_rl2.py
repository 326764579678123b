"""RL^2: memory of a trial, what its rollouts are worth, and what is seen again of them."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from innerloop.core import tree
from innerloop.learners.agents.rl2 import RL2
from innerloop.nn.gru import GRU
from innerloop.nn.mlp import Linear
from innerloop.nn.policy import Gaussian
from innerloop.tasks.environments.bandits import Bandits
from innerloop.tasks.environments.mazes import Mazes
from innerloop.tasks.environments.navigation import Navigation
from tests.agents import AgentConformance, double, tasks
from tests.core.test_rollout import Walk

UNITS = 5


def agent(environment, **settings: Any):
    """A small one whose policy begins with differences between actions."""
    told = environment.observations + getattr(environment.actions, "n", getattr(environment.actions, "size", 0)) + 2
    policy = (
        Linear(UNITS, environment.actions.n)
        if hasattr(environment.actions, "n")
        else Gaussian(inputs=UNITS, hidden=(), size=environment.actions.size)
    )
    settings = {"trajectories": 4, "units": UNITS} | settings
    return RL2(env=environment, memory=GRU(told, UNITS), policy=policy, value=Linear(UNITS, 1), **settings)


ARMS = agent(Bandits(arms=3, horizon=3))
STEPS = 7
WALK = agent(Walk(horizon=STEPS), inner_steps=2)
"""Some of its trajectories are done before their steps are used up."""


class TestRL2(AgentConformance):
    learner = ARMS


class TestRL2OverEpisodes(AgentConformance):
    learner = agent(Mazes(horizon=4, step_cost=0.1, bump_cost=0.1), inner_steps=1, baseline="trials", discount=1.0)


class TestRL2InABoxWithoutMemory(AgentConformance):
    learner = agent(Navigation(horizon=3), inner_steps=1, remembers=False)


def first(learner, seed=0):
    return double(learner.init(0)), tree.slice(tasks(learner.env, 1, seed), 0)


def test_seen_again_nothing_has_changed_also_where_steps_do_not_count():
    params, episode = first(WALK)
    collected = WALK.collect(params, episode)
    live = collected.run.live
    assert live.shape == (4, 3 * STEPS) and not live.all() and collected.run.ends.sum(1).tolist() == [3] * 4
    seen = WALK.replay(params, episode, collected)
    assert float(seen.log_ratio.abs().max()) < 1e-12 and float(seen.divergence.abs().max()) < 1e-12
    moved = WALK.replay({k: v + 0.1 for k, v in params.items()}, episode, collected)
    assert float(moved.log_ratio[live].abs().max()) > 1e-3
    thin = WALK.replay(params, episode, collected, every=4)
    assert torch.equal(thin.advantages, seen.advantages[:, ::4])


def test_what_a_trial_is_worth_goes_on_over_its_episodes_and_the_other_trials_are_its_baseline():
    learner = replace(WALK, baseline="trials", discount=0.9)
    params, episode = first(learner)
    played = learner.collect(params, episode)
    rewards, live = played.run.rewards.tolist(), played.run.live.tolist()
    returns = [[0.0] * 3 * STEPS for _ in rewards]
    for row, (gains, counts) in enumerate(zip(rewards, live, strict=True)):
        later = 0.0
        for t in reversed(range(3 * STEPS)):
            if counts[t]:
                later = returns[row][t] = gains[t] + 0.9 * later
    for row in range(4):
        for t in range(3 * STEPS):
            others = [returns[i][t] for i in range(4) if i != row and live[i][t]]
            worth = returns[row][t] - sum(others) / len(others) if live[row][t] and others else 0.0
            assert float(played.advantages[row, t]) == pytest.approx(worth, abs=1e-12)
    assert any(rewards[row][t] for row in range(4) for t in range(STEPS, 3 * STEPS))


def test_the_memory_lives_on_from_adaptation_to_what_is_scored():
    """Step by step with the learner's own cell: what was left of the trial is what its last step made."""
    params, episode = first(WALK)
    left = WALK.adapt(params, episode.support).left
    key, memories = episode.support.key, []
    carry = WALK.start(params, episode.support)
    for _ in range(2):
        carry, _ = WALK.advance(params, carry, episode.support)
        assert carry.left is not None
        memories.append(carry.left.memory)
    assert left is not None and torch.equal(left.memory, memories[-1]) and not torch.equal(*memories)
    assert bool(left.seen.done.all()), "it is told that an episode has ended"
    # In one go with the same actions: the whole trial, replayed by its own cell, has the same memory at its end.
    whole, after = WALK._run(params, episode.support.x, key, 2)
    memory = torch.zeros(4, UNITS, dtype=torch.float64)
    told = whole.outputs[..., WALK.actions.outputs + 1 :]
    for t in range(whole.live.shape[1]):
        following = WALK.memory.apply(tree.part(params, "memory"), {"x": told[:, t], "h": memory})
        memory = torch.where(whole.live[:, t, None], following, memory)
    assert torch.allclose(memory, after.memory, rtol=1e-12, atol=1e-12)
    assert not torch.equal(*(WALK.predict(params, a, episode.query.x) for a in adapted(params, episode)))


def adapted(params, episode):
    """After no episode, and after five, scored with the same draws."""
    for steps in (0, 5):
        yield replace(WALK, inner_steps=steps).adapt(params, episode.support)


def test_what_is_forgotten_changes_nothing():
    learner = replace(WALK, remembers=False)
    params, episode = first(learner)
    params = {k: torch.zeros_like(v) if "memory.new" in k else v for k, v in params.items()}  # deaf to what is told
    found = [
        learner.predict(params, replace(learner, inner_steps=n).adapt(params, episode.support), episode.query.x)
        for n in (0, 1, 3)
    ]
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_returns_before_and_after_are_of_the_first_and_the_last_episode():
    params, episode = first(WALK)
    collected = WALK.collect(params, episode)
    both = WALK.rewards(collected)
    assert torch.equal(both["before"].rewards, collected.run.rewards[:, :STEPS])
    assert torch.equal(both["after"].rewards, collected.run.rewards[:, -STEPS:])
    assert WALK.loss(params, episode)[1]["trial"] == pytest.approx(float(collected.run.returns.mean()))
    assert "before" not in ARMS.rewards(ARMS.collect(*first(ARMS)))


def test_a_greedy_one_takes_the_likeliest_arm():
    learner = replace(ARMS, greedy=True)
    params, episode = first(learner)
    params = {k: torch.zeros_like(v) for k, v in params.items()}
    params["policy.bias"] = torch.tensor([0.0, 0.1, 0.0], dtype=torch.float64)
    episode = episode._replace(query=episode.query._replace(x={"chances": torch.tensor([[0.0, 1.0, 0.0]]).double()}))
    assert float(learner.predict(params, learner.adapt(params, episode.support), episode.query.x)) == 3.0
    assert float(ARMS.predict(params, ARMS.adapt(params, episode.support), episode.query.x)) < 3.0
