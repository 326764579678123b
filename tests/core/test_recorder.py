"""Environments that keep what is done in them."""

from dataclasses import replace

import pytest
import torch

from innerloop.core import random
from innerloop.core.errors import InputError
from innerloop.core.recorder import recorded
from innerloop.core.rollout import Seen, rollout
from innerloop.learners.agents.maml_rl import MAMLRL
from innerloop.learners.agents.scripted import Scripted
from innerloop.nn.mlp import MLP
from innerloop.tasks.environments.mazes import Mazes
from tests.core.test_environment import Line

MAZES = Mazes(cells=2, horizon=12)
KEY = random.mix(0, 3)


def test_what_is_kept_is_the_rollout_itself():
    learner = MAMLRL(env=MAZES, model=MLP(MAZES.observations, (), 4), trajectories=6)
    params, recorder, task = learner.init(0), recorded(MAZES), MAZES.draw(KEY)

    def act(memory: None, seen: Seen) -> tuple[None, torch.Tensor]:
        return None, learner.outputs(params, seen.observation)

    run, _ = rollout(recorder, task, learner.actions, act, 6, KEY)
    seen = recorder.trajectories()
    assert torch.equal(seen.rewards, run.rewards) and torch.equal(seen.live, run.live)
    assert torch.equal(seen.actions, run.actions) and seen.returns == run.returns.tolist()
    assert 1 < min(seen.lengths) < max(seen.lengths) == 12, "some arrive and some do not"
    for i, length in enumerate(seen.lengths):
        places = type(seen.states)(*(leaf[i, : length + 1] for leaf in seen.states))
        assert torch.equal(MAZES.observe(task, places)[:-1], run.observations[i, :length])
        assert torch.equal(places.place[-1], task["goal"]) == (run.returns[i] > 0)


def test_an_episode_begins_anew_and_the_environment_is_otherwise_the_same():
    recorder = recorded(MAZES)
    with pytest.raises(InputError, match="nothing was done in Mazes"):
        recorder.trajectories()
    scripted = Scripted(env=MAZES, rule="oracle", trajectories=2)
    watched = replace(scripted, env=recorder)  # an oracle is there as well
    x = {k: v[None] for k, v in MAZES.draw(KEY).items()}
    for key in (KEY, random.fold(KEY, 1)):
        assert torch.equal(watched.predict({}, key, x), scripted.predict({}, key, x))
        assert recorder.trajectories().rewards.shape == (2, 12)
    assert recorder.actions == MAZES.actions and recorder.observations == MAZES.observations
    assert not Scripted.knows(recorded(Line()))
