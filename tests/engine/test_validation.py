"""Meta-validation is scored as the report is: a checkpoint is not chosen by a number that nobody reports."""

import json
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from innerloop.core.errors import InputError
from innerloop.core.learner import EpisodicClassifier, Target
from innerloop.core.model import Module
from innerloop.core.objectives import regression
from innerloop.core.predictive import Predictive, log_likelihood
from innerloop.engine import TrainConfig, load, meta_train
from innerloop.engine.checkpoint import steps_done
from innerloop.engine.watchers import Stop, Watcher
from innerloop.evaluate import meta_test
from innerloop.learners.gradient.anil import ANIL
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.gradient.reptile import Reptile
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.mlp import MLP
from innerloop.tasks import Polynomial
from tests.problems import NeedlesInNoise, classifier, encoder

TASKS = NeedlesInNoise(dtype=torch.float32)
VALIDATION = NeedlesInNoise(dtype=torch.float32, seed=5)
CONFIG = TrainConfig(
    steps=6, meta_batch_size=2, meta_lr=1e-2, validate_every=2, validation_episodes=6, checkpoint_every=2, plan="loop"
)


def head() -> nn.Module:
    return nn.Linear(6, 3)


LEARNERS = [
    MAML(model=Module(classifier), transductive=True),
    ANIL(encoder=Module(encoder), head=Module(head), transductive=True),
    Reptile(model=Module(classifier), inner_steps=2, test_steps=2, transductive=True),
    ProtoNet(encoder=Module(encoder), transductive=True),
]


class Heard(Watcher):
    def __init__(self):
        self.scores = []

    def validated(self, number, scores):
        self.scores.append({k: v for k, v in scores.items() if k != "cpu_seconds"})


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: type(learner).__name__)
@pytest.mark.parametrize("asked", [False, True])
def test_the_checkpoint_is_chosen_by_what_is_reported(learner, asked, tmp_path):
    heard, config = Heard(), replace(CONFIG, validate_transductive=asked)
    meta_train(learner, TASKS, config, tmp_path, validation=VALIDATION, watchers=[heard])
    kept, params = load(tmp_path, allow=("tests",))
    assert kept == learner, "training stays as it was"
    test = meta_test(replace(learner, transductive=asked), params, VALIDATION, 6, quiet=True)
    best = max(heard.scores, key=lambda scores: scores["mean"])
    assert best["mean"] == pytest.approx(test.mean, abs=1e-6), "the score of the checkpoint is that of the test"
    mode = "transductive" if asked else "inductive"
    assert {scores["normalisation"] for scores in heard.scores} == {mode} == {test.protocol.normalisation}
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["validation"] for line in lines if "validation" in line] == heard.scores


@dataclass(frozen=True, kw_only=True)
class Line(EpisodicClassifier[Any]):
    """A straight line through the support, whose noise alone is learned."""

    probabilistic: ClassVar[bool] = True
    targets: ClassVar[tuple[Target, ...]] = ("values",)

    def init(self, seed):
        return {"log_std": torch.full((1,), 3.0)}

    def adapt(self, params, support):
        x: Any = support.x
        x = torch.cat([x, torch.ones_like(x)], -1)
        return torch.linalg.lstsq(x, support.y).solution

    def predictive(self, params, adapted, x):
        mean = x @ adapted[:1] + adapted[1:]
        return Predictive(mean[None], params["log_std"].exp().expand_as(mean)[None])

    def predict(self, params, adapted, x):
        return self.predictive(params, adapted, x).outputs[0]

    def loss(self, params, episode):
        adapted = self.adapt(params, episode.support)
        return -log_likelihood(self.predictive(params, adapted, episode.query.x), episode.query.y).mean(), {}


LINES = Polynomial(degree=1, shots=5, queries=5, noise=0.1)


@pytest.mark.parametrize(
    ("learner", "tasks", "name"),
    [(LEARNERS[3], VALIDATION, "nll"), (Line(objective=regression), replace(LINES, seed=5), "predictive_nll")],
)
def test_the_checkpoint_may_be_chosen_by_its_likelihood(learner, tasks, name, tmp_path):
    heard, config = Heard(), replace(CONFIG, score="nll", meta_lr=0.1)
    meta_train(learner, replace(tasks, seed=0), config, tmp_path, validation=tasks, watchers=[heard])
    assert {scores["score"] for scores in heard.scores} == {name}
    best = min(scores["mean"] for scores in heard.scores)
    result = meta_test(replace(learner, transductive=False), load(tmp_path, ("tests",))[1], tasks, 6, quiet=True)
    assert result.uncertainty is not None and result.uncertainty.scores["nll"].mean == pytest.approx(best, rel=1e-5)
    with pytest.raises(InputError, match="holds another run: its score is 'nll'"):
        meta_train(learner, replace(tasks, seed=0), replace(config, score=None), tmp_path, validation=tasks)


def test_scores_that_tasks_or_learners_do_not_have_are_refused_before_any_work(tmp_path):
    with pytest.raises(InputError, match=r"score='mse' is not of these tasks, which are scored by accuracy, nll"):
        meta_train(LEARNERS[3], TASKS, replace(CONFIG, score="mse"), tmp_path, validation=VALIDATION)
    plain = MAML(model=MLP(hidden=(4,)), objective=regression)
    with pytest.raises(InputError, match="MAML answers values without a deviation"):
        meta_train(plain, LINES, replace(CONFIG, score="nll"), tmp_path, validation=LINES)
    with pytest.raises(InputError, match="say how often with validate_every"):
        TrainConfig(score="nll")
    assert not list(tmp_path.iterdir())


def earlier(run):
    """The folder as the release before wrote it: without the mode, validated in that of training."""
    config = json.loads((run / "config.json").read_text())
    del config["train"]["validate_transductive"]
    (run / "config.json").write_text(json.dumps(config))
    state = torch.load(run / "state.pt", weights_only=True)
    del state["best"]["normalisation"]
    state["best"]["score"] = 2.0  # higher than any accuracy: no later checkpoint could win against it
    torch.save(state, run / "state.pt")
    return state["best"]


def test_a_run_of_an_earlier_release_goes_on_and_its_best_is_scored_again(tmp_path):
    learner = LEARNERS[0]
    meta_train(learner, TASKS, replace(CONFIG, steps=2), tmp_path, validation=VALIDATION)
    best = earlier(tmp_path)
    params = meta_train(learner, TASKS, replace(CONFIG, steps=4), tmp_path, validation=VALIDATION)
    state = torch.load(tmp_path / "state.pt", weights_only=True)["best"]
    assert state["normalisation"] == "inductive" and state["score"] <= 1
    candidates = [best["params"], torch.load(tmp_path / "state.pt", weights_only=True)["params"]]
    scores = [
        meta_test(replace(learner, transductive=False), p, VALIDATION, 6, quiet=True, curve=False).mean
        for p in candidates
    ]
    assert state["score"] == pytest.approx(max(scores), abs=1e-6)
    winner = candidates[scores.index(max(scores))]
    assert all(torch.equal(params[k], winner[k]) for k in params)


def test_an_inductive_run_of_an_earlier_release_keeps_its_best(tmp_path):
    learner = replace(LEARNERS[0], transductive=False)
    meta_train(learner, TASKS, replace(CONFIG, steps=2), tmp_path, validation=VALIDATION)
    earlier(tmp_path)
    meta_train(learner, TASKS, replace(CONFIG, steps=4), tmp_path, validation=VALIDATION)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["best"]["score"] == 2.0, "it was measured so before"


@pytest.mark.exact
def test_resumed_equals_unbroken_where_training_is_transductive(tmp_path):
    expected = meta_train(LEARNERS[0], TASKS, CONFIG, validation=VALIDATION)

    class Pause(Watcher):
        def step(self, number, metrics):
            if number == 3:
                raise Stop("paused")

    meta_train(LEARNERS[0], TASKS, CONFIG, tmp_path, validation=VALIDATION, watchers=[Pause()])
    assert steps_done(tmp_path) == 3
    resumed = meta_train(LEARNERS[0], TASKS, CONFIG, tmp_path, validation=VALIDATION)
    assert all(torch.equal(resumed[k], expected[k]) for k in expected)
