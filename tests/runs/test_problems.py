"""Kinds of problem: one file each, one owner of every `--data`, and a stranger's own is as good."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from innerloop import problems
from innerloop.core.errors import InputError
from innerloop.core.objectives import regression
from innerloop.core.scores import SCORES
from innerloop.engine.checkpoint import read_config
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.optimizers.l2o import L2O
from innerloop.nn.mlp import MLP
from innerloop.problems.base import Problem
from innerloop.problems.classes import Classes
from innerloop.problems.curves import Curves
from innerloop.problems.regression import Regression
from innerloop.runs import build, defaults
from innerloop.runs.audit import AuditOptions, audit_learner
from innerloop.runs.measure import MetaTestOptions, measure
from innerloop.runs.record import command
from innerloop.tasks import Scored, Sinusoid


@dataclass(frozen=True, kw_only=True)
class Waves(Problem[dict]):
    """A stranger's kind: steep sinusoids, scored by the root of the error over all points."""

    score = SCORES["rmse"]
    streams = ("episodes",)

    data: str = "waves"
    points: int = 6
    """Of the support."""

    @classmethod
    def claims(cls, data):
        return data == "waves"

    @classmethod
    def data_sets(cls):
        return {"waves": "Steep sinusoids."}

    def load(self, context):
        return {"points": self.points}

    def train(self, material, stream, seed):
        return self.episodes(material, "train", seed)

    def validation(self, material, seed):
        return self.episodes(material, "validation", seed)

    def episodes(self, material, split, seed):
        first = ("train", "validation", "test").index(split)
        return Scored(Sinusoid(shots=material["points"], queries=8, seed=3 * seed + first), "rmse")

    def learner(self, cls, values, network, material):
        return cls(**{**values, "model": MLP(hidden=(8,)), **self.prescribed()})

    def outputs(self, material):
        return 1

    def prescribed(self):
        return {"objective": regression}

    def pictures(self, learner, params, sampler, count):
        return [replace(shown, title="A wave of mine") for shown in super().pictures(learner, params, sampler, count)]


@pytest.fixture
def waves(monkeypatch):
    there = problems.kinds()
    monkeypatch.setattr(problems, "kinds", lambda: there | {"waves": Waves})


def small(usual, **task: Any):
    train = replace(usual.train, steps=3, meta_batch_size=2, plan="loop", validate_every=2, validation_episodes=3)
    return replace(usual, train=train, task=usual.task.changed(task))


def test_a_strangers_kind_is_trained_tested_and_audited(waves, tmp_path):
    run = build(small(defaults("maml", "waves"), points=4))
    assert isinstance(run.learner, MAML) and run.problem == Waves(points=4)
    run.meta_train(tmp_path / "run")
    config = read_config(tmp_path / "run")
    assert config["record"]["task"] == {"data": "waves", "points": 4} and "--points 4" in str(command(config))
    tested = measure(tmp_path / "run", MetaTestOptions(episodes=5))
    assert tested.result.scores.shape == (5, 2) and tested.result.protocol.metric == "rmse"
    assert "root mean squared error" in str(tested)
    page = Path(str(tested.report)).read_text()
    assert "root mean squared error" in page and "A wave of mine" in page
    with pytest.raises(InputError, match="waves has no ways: leave out --ways"):
        measure(tmp_path / "run", MetaTestOptions(episodes=5, ways=3))
    with pytest.raises(InputError, match="sinusoid is scored by mean squared error"):
        measure(tmp_path / "run", MetaTestOptions(episodes=5, data="sinusoid"))
    assert audit_learner("maml", AuditOptions(data="waves", plans=("vmap",))).passed


def test_every_data_set_has_one_kind():
    for name in problems.data_sets():
        assert problems.kind_of(name)(data=name).data == name
    assert {"classes", "regression", "functions", "one_shot_runs", "texts"} <= set(problems.kinds())


def test_data_that_two_kinds_claim_are_refused():
    class Greedy(Regression):
        @classmethod
        def claims(cls, data):
            return True

    with pytest.raises(InputError, match="'sinusoid' is claimed by several kinds of problem, regression, greedy"):
        problems.kind_of("sinusoid", {"regression": Regression, "greedy": Greedy})


def test_data_that_no_kind_reads(tmp_path):
    with pytest.raises(InputError, match="did you mean 'sinusoid'"):
        problems.kind_of("sinusiod")
    (tmp_path / "notes.pdf").write_text("")
    with pytest.raises(InputError, match=r"nothing here reads '.*notes\.pdf': give an"):
        problems.kind_of(str(tmp_path / "notes.pdf"))


def test_the_tasks_of_three_splits_never_meet():
    for data in ("sinusoid", "mass-spring-damper", "functions"):
        problem = problems.kind_of(data)(data=data)
        assert isinstance(problem, Problem)
        stacks = [problem.episodes(None, split, 0).episodes(0, 3) for split in ("train", "validation", "test")]
        keys = torch.cat([stack.support.key for stack in stacks if stack.support.key is not None])
        assert len(set(keys.tolist())) == 9


def test_a_record_gives_its_problem_back_also_when_the_folder_is_gone():
    problem = Classes(data="no/such/folder", ways=3, same_group=0.5)
    assert problems.of_record(vars(problem)) == problem
    again = problems.of_record(vars(Regression(data="mass-spring-damper", shots=7)))
    assert isinstance(again, Regression) and again.shots == 7
    with pytest.raises(InputError, match="no data set and no path"):
        problems.of_record({"data": "no/such/folder", "colour": 3})


def test_what_is_about_training_alone_is_not_carried_into_testing():
    trained = Classes(data="digits", queries=3, unlabelled=2, same_group=1.0, ways=4)
    tested = problems.tested(trained, None, {"shots": 2})
    assert isinstance(tested, Classes)
    assert (tested.ways, tested.shots, tested.queries, tested.unlabelled, tested.same_group) == (4, 2, 15, 0, 0.0)
    elsewhere = problems.tested(replace(trained, split_scheme="a"), "kanji", {})
    assert isinstance(elsewhere, Classes) and elsewhere.split_scheme is None


def test_families_of_regression_differ_in_their_inputs():
    with pytest.raises(InputError, match="trained on sinusoid, whose inputs are not those of mass-spring-damper"):
        problems.tested(Regression(), "mass-spring-damper", {})


@pytest.mark.parametrize("learner, data", [("protonet", "sinusoid"), ("l2o", "sinusoid")])
def test_regression_needs_a_learner_that_can(learner, data):
    if learner == "l2o":
        optimizer = build(small(defaults(learner, data))).learner
        assert isinstance(optimizer, L2O) and optimizer.model is not None
        return
    with pytest.raises(InputError, match="tells classes apart; sinusoid is regression"):
        build(defaults(learner, data))


@pytest.mark.parametrize("data", ["digits", "omniglot", "clinc150"])
def test_who_learns_values_alone_is_told_so_before_classes_are_loaded(data):
    with pytest.raises(InputError, match=rf"neural_process predicts values, and '{data}' has classes: take --data gp-"):
        build(defaults("neural_process", data))
    assert defaults("neural_process").task.data == "gp-curves" and defaults("maml").task.data == "kanji"


@pytest.mark.parametrize("data", Curves.families)
def test_families_of_curves_are_drawn_with_their_options(data):
    problem = Curves(data=data, shots=4, noise=0.1, fewest_shots=2)
    tasks = problem.train(None, "episodes", 0).episodes(0, 20)
    assert (
        tasks.support.mask is not None and 2 <= tasks.support.mask.sum(1).min() < tasks.support.mask.sum(1).max() == 4
    )
    plain = Curves(data=data, shots=4, fewest_shots=2).train(None, "episodes", 0).episodes(0, 20)
    real = tasks.support.mask
    assert 0 < (tasks.support.y - plain.support.y)[real].std() < 0.3
    if data in ("gp-curves", "rbf-curves"):
        with pytest.raises(InputError, match="known only where it was drawn: leave out --functions"):
            Curves(data=data, functions=3).check()
        return
    few = Curves(data=data, functions=3).train(None, "episodes", 0)
    assert "3" in str(few.describe()) and few.episodes(0, 5).query.y.isfinite().all()


def test_a_finite_set_of_functions_is_met_in_training_and_new_ones_in_tests():
    trained = Curves(functions=3, relative_noise=0.01, shots=5)
    tested = Curves.after(trained, "sinusoids")
    assert "'tasks': 3" in str(trained.train(None, "episodes", 0).describe())
    about = tested.episodes(None, "test", 0).describe()
    assert about["relative_noise"] == 0.01 and about["shots"] == 5 and "tasks" not in about


def test_relative_noise_is_of_what_has_an_amplitude():
    with pytest.raises(InputError, match="lines have no amplitude for --relative-noise to be a share of: take --noise"):
        Curves(data="lines", relative_noise=0.1).check()


def test_the_hidden_layers_of_a_regression_are_as_asked_for():
    usual = defaults("bmaml", "sinusoids")
    asked = replace(usual, network=replace(usual.network, hidden_units=(40, 40, 40)))
    learner: Any = build(asked).learner
    assert learner.model.hidden == (40, 40, 40) and learner.inner_lr == 0.3
    assert build(usual).learner.model == MLP(hidden=(40, 40))  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(InputError, match="MLP: hidden must be"):
        build(replace(usual, network=replace(usual.network, hidden_units=(0,))))


def test_a_ragged_run_can_be_tested_with_fewer_shots_than_it_trained_with():
    ragged = Curves(data="gp-curves", shots=10, fewest_shots=3)
    assert ragged.changed({"shots": 2}).episodes(None, "test", 0).episodes(0, 4).support.y.shape == (4, 2, 1)
    assert ragged.changed({"shots": 5}).fewest_shots == 3


def test_options_of_curves_are_not_those_of_mamls_sinusoid():
    with pytest.raises(InputError, match="sinusoid has no noise: leave out --noise"):
        Regression().changed({"noise": 0.1})
