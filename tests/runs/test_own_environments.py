"""Environments of somebody's own on the command line, named as networks of somebody's own are."""

import json

import pytest

from innerloop.cli.main import main

SHORT = ["--trajectories", "3", "--meta-batch-size", "2", "--steps", "1"]
ALLOW = ["--allow", "tests"]


def train(out, env, *words):
    return main(["train", "maml-rl", "--env", env, *SHORT, "--out", str(out), *words])


@pytest.mark.parametrize("env", ["tests.runs.tank:Tank", "tests.runs.tank:small"])
def test_it_is_trained_tested_and_named_by_the_run(env, tmp_path, capsys):
    assert train(tmp_path, env, "--settings", "horizon=4", *ALLOW) == 0
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["learner"]["fields"]["env"]["fields"]["horizon"] == 4
    assert main(["test", str(tmp_path), "--episodes", "3", *ALLOW]) == 0
    said = capsys.readouterr().out
    assert "random actions" in said and "knows the task" not in said and "nan" not in said
    assert main(["test", str(tmp_path), "--episodes", "3"]) == 2
    assert "--allow tests" in capsys.readouterr().err
    assert f"--data {env} --settings horizon=4" in (page := (tmp_path / "report.html").read_text())
    assert "--allow tests" in page


@pytest.mark.parametrize(
    ("env", "words", "said"),
    [
        ("tests.runs.tank:Tank", [], "is code of yours, which using it would run. If you trust it, say so"),
        ("tests.runs.tank:Tnak", ALLOW, "has no 'Tnak'"),
        ("tests.runs.nowhere:Tank", ALLOW, "cannot import 'tests.runs.nowhere'"),
        ("tests.runs.tank:NOTHING", ALLOW, "gives a int: it must give an environment"),
        ("innerloop.core.environment:Environment", [], "cannot be made and stepped"),
        ("tests.runs.tank:Broken", ALLOW, "cannot be made and stepped: the gauge is stuck"),
        ("tests.runs.tank:Wide", ALLOW, "Wide.observe gives (3, 2) instead of (3, 1)"),
        ("tests.runs.tank:Tank", [*ALLOW, "--settings", "size=4"], "'size=4' sets nothing of tests.runs.tank:Tank"),
        ("tests.runs.tank:Tank", [*ALLOW, "--settings", "horizon=0"], "horizon must be a whole number"),
    ],
)
def test_what_makes_no_sense_is_one_message(env, words, said, tmp_path, capsys):
    assert train(tmp_path / "run", env, *words) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "run").exists()
