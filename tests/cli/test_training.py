"""Every learner of the catalogue, by the command line: seconds of training, and better than untrained."""

from typing import Any

import pytest

from innerloop.cli.main import main
from innerloop.core.context import Context
from innerloop.core.learner import Learner
from innerloop.core.online import OnlineLearner
from innerloop.core.types import Params
from innerloop.engine import load as load_run
from innerloop.evaluate import Result, meta_test
from innerloop.learners import catalogue
from innerloop.problems.base import Problem
from innerloop.runs import Options, defaults

SECONDS = 4.0
"""Of processor time."""
LONGER = {"rl2": 15.0, "neural_process": 12.0, "model_predictive": 8.0, "alpaca": 6.0}
LONGER |= dict.fromkeys(("amortised_vi", "imaml", "self_supervised"), 20.0)
"""A policy that has to find out by itself what pays, without an inner gradient; values that differ much from task to
task; one that plans while it is trained; what takes many inner steps, or learns without labels, and gains slowly."""
EPISODES, VALUES = 100, 300
"""Of pictures, and of values, which take less time and differ more from one another."""
SMALL = {"ways": 5, "train_ways": 5, "queries": 5}
FEWER = {"model_predictive": 12, "maml_rl": 50, "anil_rl": 50, "l2o": 50, "meta_lstm": 30}
"""Whose episodes take long: an agent acts at every step of them, a learned optimizer steps hundreds of times."""
NO_CLASSIFIER = {"figr": "a critic is no classifier: test_figr.py trains it and has what it draws judged"}
RATE = 0.01
"""Ten times the usual one of Adam: there is little time."""
RATES = {"alpaca": 0.002, "rl2": 0.02}
"""Other ones: the likelihood of values is learned by small steps, after large ones the squared error of single tasks is
far off; a recurrent policy has but two hundred steps in its seconds."""


def words(usual: Options) -> list[str]:
    """Options with which seconds suffice: a narrow network, tasks of five classes."""
    minutes = f"{LONGER.get(usual.learner, SECONDS) / 60:g}"
    own: dict[str, Any] = {k: v for k, v in SMALL.items() if getattr(usual.task, k, None) is not None}
    own |= {"width": 8} if hasattr(usual.network, "width") else {}
    if getattr(usual.task, "update", "descent") != "descent":  # which reads no rate, and no plan
        return ["--cpu-minutes", minutes]
    own |= (
        {"meta_lr": RATES.get(usual.learner, RATE)}
        if usual.train.optimizer == "adam" and usual.train.estimator == "exact"
        else {}
    )
    choices = usual.task.sensible(catalogue()[usual.learner], usual.task.data).choices
    own |= {k: values[0] for k, values in choices.items()}  # to choose among them takes a minute
    given = [word for k, v in own.items() for word in (f"--{k.replace('_', '-')}", str(v))]
    # Cut by the budget, not by the number of steps, of which a fast learner may take many.
    # Networks for values are small: what counts is how many tasks go at once.
    plan = "threads" if hasattr(usual.network, "width") else "replay"
    return [*given, "--plan", plan, "--unchecked", "--cpu-minutes", minutes, "--validate-every", "0"]


def scored(name: str, learner: Learner, params: Params, problem: Problem) -> Result:
    tasks = problem.changed({k: v for k, v in SMALL.items() if hasattr(problem, k)})
    sampler = tasks.episodes(tasks.load(Context()), "test", 77)
    usual = EPISODES if problem.score.of_classes else VALUES
    episodes = FEWER.get(name, usual)
    return meta_test(learner, params, sampler, episodes, curve=False, quiet=True)


@pytest.mark.slow
@pytest.mark.usefixtures("soon_calibrated")
@pytest.mark.parametrize("name", catalogue())
def test_seconds_of_training_are_better_than_none(name, tmp_path):
    if name in NO_CLASSIFIER:
        pytest.skip(NO_CLASSIFIER[name])
    if issubclass(catalogue()[name], OnlineLearner):
        pytest.skip("rows one by one, and seconds are few meta-steps: Conformance shows that meta-training helps")
    usual = defaults(name)
    assert main(["train", name, *words(usual), "--out", str(tmp_path / "run")]) == 0
    learner, params = load_run(tmp_path / "run")
    problem = usual.task.after(usual.task, usual.task.data)
    trained = scored(name, learner, params, problem)
    untrained = scored(name, learner, params | learner.init(0), problem)  # with what is chosen once it is trained
    score = trained.protocol.score
    gain = score.difference(trained.scores, untrained.scores)
    if not learner.init(0):
        assert gain == (0, 0), "it has no parameters, so there is nothing to train"
        return
    assert score.better(gain.mean) > gain.ci95, f"{name}: {untrained} before, {trained} after"
