from typing import Any

import pytest
import torch

from innerloop.cli.main import main
from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.objectives import regression
from innerloop.core.types import Batch
from innerloop.engine import TrainConfig, load, meta_train
from innerloop.learners.gradient.learning_to_adapt import LearningToAdapt
from innerloop.nn.mlp import MLP
from innerloop.runs.follow import FollowOptions, follow_run
from innerloop.tasks import MassSpringDamper


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "stream"
    words = ["train", "learning_to_adapt", "--data", "mass-spring-damper", "--steps", "5", "--shots", "6"]
    assert main([*words, "--plan", "vmap", "--out", str(folder), "--json"]) == 0
    return folder


def test_errors_are_those_of_windows_taken_one_by_one(run):
    options = FollowOptions(periods=3, period=10, seed=5)
    result = follow_run(run, options)
    learner, params = load(run)
    stream = MassSpringDamper(seed=5).stream(0, 30, 10)
    x: Any = stream.x
    errors = []
    for t in range(30):
        recent = slice(max(t - 6, 0), t)
        adapted = learner.adapt(params, Batch(x[recent], stream.y[recent])) if t else params
        with torch.no_grad():
            guess = learner.predict(params, adapted, tree.slice(x, slice(t, t + 1)))
        errors.append((guess - stream.y[t : t + 1]).square().mean())
    assert result.adapted.mean == pytest.approx(torch.stack(errors).mean().item(), rel=1e-4)
    assert result.moments == 30 and result.window == 6
    assert result.difference.mean == pytest.approx(result.adapted.mean - result.unadapted.mean, abs=1e-6)
    assert follow_run(run, FollowOptions(periods=3, period=10, seed=5, window=2)).adapted != result.adapted


def test_the_verb_says_what_adapting_is_worth(run, capsys):
    assert main(["follow", str(run), "--periods", "4", "--period", "50"]) == 0
    said = capsys.readouterr().out
    assert "squared error over 200 moments, each after the 6 before it" in said and "difference" in said


def test_what_cannot_be_followed_is_refused(run, tmp_path):
    with pytest.raises(InputError, match="at least 2 periods, got 1"):
        follow_run(run, FollowOptions(periods=1))
    with pytest.raises(InputError, match="at least 1 moment, got 0"):
        follow_run(run, FollowOptions(period=0))
    with pytest.raises(InputError, match="at least 1 row, got 0"):
        follow_run(run, FollowOptions(window=0))
    for learner, data, message in (
        ("maml", "mass-spring-damper", "MAML does not follow streams: follow a run of learning_to_adapt"),
        ("learning_to_adapt", "sinusoid", "'sinusoid' is no stream: .* --data mass-spring-damper"),
    ):
        folder = tmp_path / learner
        words = ["train", learner, "--data", data, "--steps", "0", "--out", str(folder), "--json"]
        assert main(words) == 0
        with pytest.raises(InputError, match=message):
            follow_run(folder, FollowOptions())


def test_a_run_that_was_not_made_by_a_command_is_refused(tmp_path):
    learner = LearningToAdapt(model=MLP(inputs=3, hidden=(4,), outputs=2), inner_lr=0.01, objective=regression)
    meta_train(learner, MassSpringDamper(shots=4), TrainConfig(steps=1), tmp_path / "own")
    with pytest.raises(InputError, match="does not say which stream"):
        follow_run(tmp_path / "own", FollowOptions())
