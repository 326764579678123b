"""Rollouts and what is made of their rewards, against loops over numbers."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from innerloop.core.actions import Actions
from innerloop.core.environment import Discrete, Environment
from innerloop.core.rollout import Rollout, advantages, discounted, linear_baseline, normalised, rollout


class At(NamedTuple):
    """How far each trajectory has gone."""

    place: Tensor


@dataclass(frozen=True, kw_only=True)
class Walk(Environment[At]):
    """Right by 1, or stay; done at the end of the task; the reward is the place."""

    horizon: int = 6

    @property
    def observations(self):
        return 1

    @property
    def actions(self):
        return Discrete(2)

    def draw(self, key):
        return {"end": torch.tensor(3.0, dtype=torch.float64)}

    def start(self, task, n, key):
        return At(torch.zeros(n, dtype=torch.float64))

    def observe(self, task, state):
        return state.place[:, None]

    def step(self, task, state, action, key):
        place = state.place + action
        # Behind its end nothing is known of this environment.
        return At(torch.where(place > task["end"], torch.nan, place)), place, place >= task["end"]


def always(action):
    def act(memory, seen):
        outputs = torch.zeros(len(seen.reward), 2, dtype=torch.float64)
        outputs[:, action] = 100.0
        return (None if memory is None else memory + 1), outputs

    return act


def go(act, n=2, memory=None, episodes=1):
    environment = Walk()
    task = environment.draw(torch.tensor(0))
    return rollout(environment, task, Actions(Discrete(2)), act, n, torch.tensor(1), memory, episodes)


def test_what_is_done_counts_no_longer_and_the_next_episode_begins_anew():
    run, left = go(always(1), memory=torch.zeros(2), episodes=2)
    once = [1.0, 2.0, 3.0, 0.0, 0.0, 0.0]
    assert run.rewards.tolist() == [2 * once] * 2
    assert run.live[0].tolist() == 2 * [True, True, True, False, False, False]
    assert run.ends[0].nonzero().flatten().tolist() == [2, 8]
    assert run.observations[0, :, 0].tolist()[6:9] == [0, 1, 2] and bool(run.observations.isfinite().all())
    assert left.memory.tolist() == [6, 6], "a memory stands still where nothing counts"
    assert run.returns.tolist() == [12, 12]


def test_an_episode_ends_where_its_steps_are_used_up():
    run, _ = go(always(0))
    assert bool(run.live.all()) and run.ends[0].tolist() == [False] * 5 + [True]


def test_the_policy_is_told_what_became_of_its_last_step():
    told = []

    def act(memory, seen):
        told.append([seen.action[0].item(), seen.reward[0].item(), seen.done[0].item()])
        return always(1)(memory, seen)

    go(act, episodes=2)
    assert told[:4] == [[0, 0, False], [1, 1, False], [1, 2, False], [1, 3, True]]
    assert told[6] == [1, 3, True] and told[7] == [1, 1, False]


def test_a_rollout_has_no_graph_and_is_a_function_of_its_key():
    weight = torch.ones(2, dtype=torch.float64, requires_grad=True)
    run, _ = go(lambda memory, seen: (memory, weight.detach().expand(len(seen.reward), 2)), n=50)
    again, _ = go(lambda memory, seen: (memory, weight.detach().expand(len(seen.reward), 2)), n=50)
    assert torch.equal(run.actions, again.actions) and not any(leaf.requires_grad for leaf in run)
    assert len({tuple(row) for row in run.actions.tolist()}) > 5


def uneven():
    generator = torch.Generator().manual_seed(0)
    live = torch.ones(3, 8, dtype=torch.bool)
    live[0, 2:4], live[1, 5:], ends = False, False, torch.zeros(3, 8, dtype=torch.bool)
    ends[0, 1] = ends[1, 3] = ends[1, 4] = ends[0, 7] = ends[2, 3] = ends[2, 7] = True
    rewards = torch.randn(3, 8, generator=generator, dtype=torch.float64) * live
    values = torch.randn(3, 8, generator=generator, dtype=torch.float64)
    return rewards, live, ends, values


def slow(rewards, live, ends, values, discount, trace, across):
    """Returns and advantages of every trajectory, from the list of its steps that count."""
    sums, gains = np.zeros(rewards.shape), np.zeros(rewards.shape)
    for i in range(len(rewards)):
        steps = live[i].nonzero().flatten().tolist()
        for number, t in enumerate(steps):
            weight, total, gain, trust = 1.0, 0.0, 0.0, 1.0
            for j in range(number, len(steps)):
                s = steps[j]
                stops = bool(ends[i, s]) and not across
                ahead = 0.0 if stops or j + 1 == len(steps) else float(values[i, steps[j + 1]])
                total += weight * float(rewards[i, s])
                gain += trust * (float(rewards[i, s]) + discount * ahead - float(values[i, s]))
                weight, trust = weight * discount, trust * discount * trace
                if stops:
                    break
            sums[i, t], gains[i, t] = total, gain
    return sums, gains


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("trace", [0.0, 0.7, 1.0])
def test_returns_and_advantages_are_the_sums_over_what_counts(across, trace):
    rewards, live, ends, values = uneven()
    sums, gains = slow(rewards, live, ends, values, 0.9, trace, across)
    assert np.allclose(discounted(rewards, live, ends, 0.9, across), sums, atol=1e-12)
    empty = torch.zeros(3, 8, 1)
    run = Rollout(empty, empty, empty, rewards, live, ends)
    assert np.allclose(advantages(run, values, 0.9, trace, across) * live, gains, atol=1e-12)


def test_the_baseline_is_ridge_regression_on_the_steps_that_count():
    rewards, live, ends, _ = uneven()
    generator = torch.Generator().manual_seed(1)
    seen = torch.randn(3, 8, 2, generator=generator, dtype=torch.float64)
    returns = discounted(rewards, live, ends, 0.9)
    found = linear_baseline(seen, returns, live, 0.1)
    t = np.arange(8) / 8
    powers = np.broadcast_to(np.stack([t, t**2, t**3, np.ones(8)], -1), (3, 8, 4))
    x = np.concatenate([seen, seen**2, powers], -1)[live.numpy()]
    weights = np.linalg.solve(x.T @ x + 0.1 * np.eye(8), x.T @ returns.numpy()[live.numpy()])
    assert np.allclose(found.numpy()[live.numpy()], x @ weights, atol=1e-9)


def test_normalised_advantages_have_mean_0_and_deviation_1_where_they_count():
    _, live, _, values = uneven()
    found = normalised(values, live)
    inside = found[live]
    assert float(inside.mean()) == pytest.approx(0, abs=1e-12)
    assert float(inside.std(correction=0)) == pytest.approx(1, abs=1e-6) and bool((found[~live] == 0).all())
    assert bool(normalised(torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bool)).isfinite().all())
