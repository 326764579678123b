"""The learned optimizers on the command line."""

import json

import pytest

from innerloop.cli.main import main
from innerloop.evaluate import optimizer_curves


@pytest.fixture
def l2o(tmp_path, monkeypatch):
    monkeypatch.setattr(optimizer_curves, "RATES", (0.003, 0.01))
    words = ["--steps", "4", "--meta-batch-size", "4", "--inner-steps", "10", "--unroll-length", "5", "--hidden", "3"]
    assert main(["train", "l2o", *words, "--validate-every", "2", "--plan", "vmap", "--out", str(tmp_path)]) == 0
    return tmp_path


def test_l2o_stands_beside_tuned_optimizers(l2o, capsys):
    page = (l2o / "report.html").read_text()
    assert "validation functions" in page and "mean value" in page and "mean squared error" not in page
    capsys.readouterr()
    assert main(["test", str(l2o), "--episodes", "5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["optimizer"] for row in found["rows"]] == ["L2O", "SGD", "momentum", "RMSprop", "Adam"]
    assert found["split"] == "test" and found["functions"] == 5
    assert all(list(row["sums"]) == list(row["values"]) == ["10", "20", "50"] for row in found["rows"])
    assert main(["test", str(l2o), "--episodes", "5", "--steps", "4"]) == 0
    said = capsys.readouterr().out
    assert "sum to 20" in said and "times Adam's" in said
    assert (l2o / "report.html").read_text().count("Optimizers, ") == 2


def test_what_an_optimizer_cannot_be_tested_on(l2o, refused):
    refused("test", l2o, "--data", "sinusoid", says="leave out --data")
    refused("test", l2o, "--episodes", "1", says="at least 2 functions")
    refused("test", l2o, "--steps", "0", says="steps must be at least 1")


def test_functions_are_for_learned_optimizers(run, refused):
    refused("test", run, "--data", "functions", says="functions is scored by mean value")
    refused("train", "maml", "--data", "functions", says="maml is trained on episodes, which 'functions' does not have")


@pytest.mark.parametrize("learner", ["meta_lstm", "learned_rates", "maml_plus_plus"])
def test_learners_of_optimization_go_from_training_to_a_result(learner, tmp_path, capsys):
    small = ["--data", "digits", "--ways", "3", "--steps", "2", "--width", "4", "--inner-steps", "2", "--plan", "loop"]
    assert main(["train", learner, *small, "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["test", str(tmp_path), "--episodes", "4", "--json"]) == 0
    assert 0 <= json.loads(capsys.readouterr().out)["mean"] <= 1


def test_a_model_of_changing_dynamics_goes_from_training_to_a_result(tmp_path, capsys):
    words = ["--data", "mass-spring-damper", "--steps", "2", "--inner-steps", "1", "--plan", "loop"]
    assert main(["train", "learning_to_adapt", *words, "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["test", str(tmp_path), "--episodes", "4"]) == 0
    assert "mean squared error" in capsys.readouterr().out
