"""Whole studies on sinusoids, of trials that take a fraction of a second, and what may go wrong with them."""

import json
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

import pytest

from innerloop.core.config import encode
from innerloop.core.context import Context
from innerloop.core.errors import FailedError, InputError
from innerloop.engine import load
from innerloop.engine.watchers import Watcher
from innerloop.learners.gradient.maml import MAML
from innerloop.problems.classes import Classes
from innerloop.problems.regression import Regression
from innerloop.runs import build, defaults
from innerloop.runs.compare import CompareOptions
from innerloop.runs.measure import MetaTestOptions, prepare
from innerloop.runs.run import Run
from innerloop.studies import storage
from innerloop.studies.attempt import attempt
from innerloop.studies.final import final_of, finish, rows_of
from innerloop.studies.page import write_page
from innerloop.studies.study import open_, tune
from innerloop.tasks.pool import Pool
from tests.studies.small import options, settings

pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three trials, the winner trained with two seeds and tested."""
    return tune(options(), settings(), tmp_path_factory.mktemp("studies") / "s")


def test_the_first_trial_has_the_defaults_and_every_trial_is_a_run(study):
    rows = rows_of(study)
    assert [row.number for row in rows] == [0, 1, 2] and all(row.complete for row in rows)
    assert rows[0].values == {"inner_steps": 1, "inner_lr": 0.01, "meta_lr": 0.001, "schedule": "constant"}
    assert rows[1].values != rows[2].values and all(row.steps == 4 for row in rows)
    for row in rows:
        learner, params = load(row.run)
        assert isinstance(learner, MAML)
        assert (learner.inner_lr, learner.inner_steps) == (row.values["inner_lr"], row.values["inner_steps"])
        (test,) = prepare(row.run, MetaTestOptions(episodes=2, baselines=False))
        assert test.result().mean == test.result().mean and params
        assert json.loads((study.out / "trials" / f"{row.number:04d}" / "trial.json").read_text())["value"] == row.value


def test_the_value_is_that_of_an_ordinary_training(study, tmp_path):
    run = build(options())
    heard: list[float] = []

    class Listener(Watcher):
        def validated(self, number, scores):
            heard.append(scores["mean"])

    run.meta_train(tmp_path / "run", (Listener(),))
    assert rows_of(study)[0].value == min(heard)
    assert encode(load(rows_of(study)[0].run)[0]) == encode(run.learner)


def test_asked_again_it_goes_on_and_is_the_same_study(study, monkeypatch):
    before = rows_of(study)
    monkeypatch.setattr("innerloop.studies.study.attempt", None)  # nothing is trained again
    assert rows_of(tune(options(), settings(), study.out)) == before
    assert rows_of(tune(options(), settings(trials=2), study.out)) == before, "as many as anybody asked for"
    with pytest.raises(InputError, match=r"its train.steps is 4, now 5"):
        tune(options(steps=5), settings(), study.out)
    other = replace(defaults("anil", "sinusoid"), train=options().train)
    with pytest.raises(InputError, match="its learner is 'maml', now 'anil'"):
        tune(other, settings(), study.out)
    monkeypatch.undo()
    assert len(rows_of(tune(options(), settings(trials=4), study.out))) == 4


def test_the_winner_is_tested_once_and_the_study_says_when(tmp_path, monkeypatch, capsys):
    study = tune(options(), settings(seeds=2, trials=2), tmp_path / "s")
    monkeypatch.setattr("innerloop.studies.final._EPISODES", 8)
    monkeypatch.setattr("innerloop.studies.final.CompareOptions", partial(CompareOptions, episodes=8))
    result = finish(study)
    assert result.test is not None and len(result.test["runs"]) == 2 and result.test["tested"][:2] == "20"
    assert f"meta-test, once, {result.test['tested']}" in str(result)
    assert result.verdict and json.dumps(result.to_json())
    # Asked again, nobody looks at the test.
    monkeypatch.setattr("innerloop.studies.final.compare_runs", None)
    again = open_(options(), settings(seeds=2, trials=2), study.out)
    assert finish(again).test == result.test == final_of(again)
    with pytest.raises(InputError, match="would test twice"):
        tune(options(), settings(seeds=2, trials=3), study.out)
    page = write_page(study, result)
    assert page is not None
    text = page.read_text()
    assert "Parallel coordinates" in text and "Importance" in text and "Plotly.newPlot" in text
    assert "<script src" not in text and "(defaults)" in text


def planted(*_: Any, **__: Any) -> NoReturn:
    raise AssertionError("a study looked at the test")


def test_tests_are_not_even_built_while_a_study_chooses(tmp_path, monkeypatch):
    episodes = Regression.episodes

    def guarded(self, material, split, seed):
        return planted() if split == "test" else episodes(self, material, split, seed)

    monkeypatch.setattr(Regression, "episodes", guarded)
    study = tune(options(), settings(trials=2, seeds=1), tmp_path / "s")
    with pytest.raises(AssertionError, match="looked at the test"):
        finish(study)  # which shows that the trap works


class Trap(Pool):
    """Classes whose examples must not be touched."""

    def rows(self, index):
        return planted()


def test_pools_of_tests_are_gone_before_anything_is_trained(tmp_path, monkeypatch):
    usual, loaded = defaults("protonet", "digits"), Classes.load
    few = {"steps": 2, "validation_episodes": 3, "validate_every": 1, "plan": "loop", "unchecked": True}
    usual = replace(usual, train=replace(usual.train, **few), task=usual.task.changed({"ways": 2}))

    def load_trapped(self, context):
        splits = loaded(self, context)
        trap = Trap(**{k: getattr(splits.test, k) for k in ("data", "counts", "names", "dataset", "role")})
        object.__setattr__(splits, "test", trap)
        return splits

    monkeypatch.setattr(Classes, "load", load_trapped)
    tune(usual, settings(trials=2, space="meta_lr,width=4|8"), tmp_path / "s")
    run = build(usual, sealed=True)
    assert run.splits is not None
    for look in (lambda: run.test(), lambda: run.splits.test.data, lambda: run.splits.test.rows(0)):  # pyright: ignore
        with pytest.raises(InputError, match="meta-test of digits is shut"):
            look()


def test_a_trial_that_diverges_failed_for_a_reason(tmp_path):
    rows = rows_of(tune(options(), settings(), tmp_path / "s", space=far))
    assert [row.state for row in rows] == ["COMPLETE", "FAIL", "FAIL"]
    assert all(
        "is not finite" in str(row.reason) and "inner_lr or meta_lr too large" in str(row.reason) for row in rows[1:]
    )


def far(trial: Any) -> dict[str, Any]:
    return {"inner_lr": trial.suggest_float("inner_lr", 1e8, 1e9), "inner_steps": 5}


def test_a_trial_that_breaks_is_no_end_of_the_study(tmp_path, monkeypatch):
    train = Run.meta_train

    def broken(self, out, watchers=()):
        if out.name == "0001":
            raise MemoryError("no room for 7 EiB")
        return train(self, out, watchers)

    monkeypatch.setattr(Run, "meta_train", broken)
    rows = rows_of(tune(options(), settings(), tmp_path / "s"))
    assert [row.state for row in rows] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert rows[1].reason == "MemoryError: no room for 7 EiB"


def test_where_the_defaults_are_impossible_nothing_is_searched(tmp_path, monkeypatch):
    usual = replace(options(), task=options().task.changed({"shots": 1}), network=options().network)
    monkeypatch.setattr(Run, "meta_train", lambda *_: (_ for _ in ()).throw(InputError("it does not fit")))
    with pytest.raises(InputError, match="it does not fit"):
        tune(usual, settings(), tmp_path / "s")


def test_where_all_fail_it_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "meta_train", lambda *_: (_ for _ in ()).throw(FailedError("a loss is not finite")))
    with pytest.raises(FailedError, match="none of 3 trials came to its end, the first because: a loss is not finite"):
        tune(options(), settings(), tmp_path / "s")


def test_a_pruned_trial_is_kept_as_such(tmp_path):
    fields = options().fields | {"inner_lr": 0.01}
    asked = replace(options(steps=12, validation_episodes=40), fields=fields)
    rows = rows_of(tune(asked, settings(trials=6, pruner="wilcoxon", space="meta_lr=1e-6:0.01:log"), tmp_path / "s"))
    pruned = [row for row in rows if row.state == "PRUNED"]
    assert pruned and all(row.steps is not None and row.steps < 12 and row.value is not None for row in pruned)


def test_interrupted_it_goes_on_where_it_was_saved(tmp_path, monkeypatch):
    train, asked = Run.meta_train, []

    def interrupted(self, out, watchers=()):
        asked.append(out.name)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return train(self, out, watchers)

    monkeypatch.setattr(Run, "meta_train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tune(options(), settings(), tmp_path / "s")
    rows = rows_of(tune(options(), settings(), tmp_path / "s"))
    assert len(rows) == 3 and asked.count("0001") == 2 and len(set(asked)) == 3


def test_a_function_is_searched(tmp_path):
    study = tune(options(), settings(), tmp_path / "s", space=wide)
    rows = rows_of(study)
    assert rows[0].values == {} and all(0.5 <= row.values["inner_lr"] <= 0.6 for row in rows[1:])
    with pytest.raises(InputError, match="its space is"):
        tune(options(), settings(), study.out)


@pytest.mark.parametrize("space", [lambda trial: 1 / 0, lambda trial: [("inner_lr", 0.1)]])
def test_a_function_that_fails_is_said(tmp_path, space):
    with pytest.raises(InputError, match=r"the space tests.studies.test_study:.* failed: (Zero|Type)"):
        tune(options(), settings(), tmp_path / "s", space=space)


def test_odd_values_of_a_function_are_failures_of_their_trials(tmp_path):
    rows = rows_of(tune(options(), settings(), tmp_path / "s", space=odd))
    assert [row.state for row in rows] == ["COMPLETE", "FAIL", "FAIL"] and "inner_lr" in str(rows[1].reason)


def odd(trial: Any) -> dict[str, Any]:
    return {"inner_lr": object()}


def test_a_trial_that_was_given_away_meanwhile_is_left_to_the_other(tmp_path, monkeypatch):
    usual = attempt

    def late(board, claim, *rest):
        if claim.trial.number == 1:
            board.storage.set_trial_state_values(claim.trial._trial_id, state=board.states.FAIL)
        return usual(board, claim, *rest)

    monkeypatch.setattr("innerloop.studies.study.attempt", late)
    rows = rows_of(tune(options(), settings(), tmp_path / "s"))
    assert len(rows) == 3 and all(row.complete for row in rows) and rows[1].number == 1


def wide(trial: Any) -> dict[str, Any]:
    return {"inner_lr": trial.suggest_float("rate", 0.5, 0.6)}


def test_a_storage_that_goes_away_in_mid_trial_loses_nothing(tmp_path, monkeypatch):
    study = open_(options(), settings(trials=1), tmp_path / "s")
    monkeypatch.setattr(storage, "PATIENCE", -1.0)
    claim = study.board.take()
    assert claim is not None
    with monkeypatch.context() as away:
        gone = storage.library().exceptions.StorageInternalError("connection refused")
        away.setattr(study.board, "store", lambda *_: (_ for _ in ()).throw(gone))
        with study.board.held(claim), pytest.raises(FailedError, match=r"kept in .*0000.trial.json; the same command"):
            attempt(study.board, claim, study.options, study.space, Context(), study.url)
    monkeypatch.setattr("innerloop.studies.claims.BEAT", 0)
    monkeypatch.setattr("innerloop.studies.study.attempt", None)  # it is stored, not trained again
    (row,) = rows_of(tune(options(), settings(trials=1), tmp_path / "s"))
    assert row.complete and row.values["inner_lr"] == 0.01


def test_a_run_is_no_folder_for_a_study(tmp_path):
    build(options()).meta_train(tmp_path / "run")
    with pytest.raises(InputError, match="is a run by itself"):
        tune(options(), settings(), tmp_path / "run")
    with pytest.raises(InputError, match="trials must be a whole number of at least 1"):
        settings(trials=0)
