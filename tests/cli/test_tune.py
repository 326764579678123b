"""`innerloop tune`: what it prints and writes, and what it refuses."""

import json

import pytest

from innerloop.cli.main import main

pytest.importorskip("optuna")
SMALL = ["tune", "maml", "--data", "sinusoid", "--steps", "3", "--meta-batch-size", "2", "--validation-episodes", "6"]
SMALL += ["--plan", "loop", "--unchecked", "--seeds", "0"]


def test_a_study_from_the_command_line(tmp_path, capsys):
    out = tmp_path / "s"
    assert main([*SMALL, "--trials", "2", "--out", str(out), "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert [trial["number"] for trial in result["trials"]] == [0, 1] and result["test"] is None
    assert "trial 0 (the defaults)" in printed.err and "part of how a run is measured" in printed.err
    assert (out / "report.html").is_file() and result["report"] == str(out / "report.html")
    assert main([*SMALL, "--trials", "2", "--out", str(out)]) == 0
    words = capsys.readouterr().out
    assert words.startswith("2 trials: ") and "meta-test: not yet" in words


def test_the_space_is_shown_and_nothing_done(tmp_path, capsys):
    assert main([*SMALL, "--show-space", "--space", "inner_lr=0.01:1:log", "--out", str(tmp_path / "s")]) == 0
    assert "inner_lr  0.01:1:log  (default 0.01)" in capsys.readouterr().out and not (tmp_path / "s").exists()
    assert main(["tune", "protonet", "--data", "kanji", "--show-space", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["space"]["width"] == "32|64|128"


@pytest.mark.parametrize("name", ["trials", "workers"])
def test_none_is_too_few(name, capsys, tmp_path):
    assert main([*SMALL, f"--{name}", "0", "--out", str(tmp_path / "s")]) == 2
    assert f"{name} must be a whole number of at least" in capsys.readouterr().err and not (tmp_path / "s").exists()


def test_what_is_refused(tmp_path, refused, monkeypatch):
    out = ["--out", str(tmp_path / "s")]
    refused(*SMALL, *out, "--space", "inner_lr=1:0.1", says="above the high end")
    refused(*SMALL, *out, "--space", "iner_lr=1:2", says="did you mean 'inner_lr'")
    refused("tune", "mamml", *out, says="did you mean 'maml'")
    refused(*SMALL, *out, "--storage", "here.db", says="is no address")
    assert not (tmp_path / "s").exists()
    assert main([*SMALL, *out, "--trials", "1"]) == 0
    refused(*SMALL, *out, "--space", "inner_lr", "--trials", "1", says="holds another study 's': its space.inner_steps")
    monkeypatch.setattr("innerloop.studies.storage.importlib.util.find_spec", lambda name: None)  # as if not installed
    refused(*SMALL, *out, says="pip install 'innerloop[tune]'")


@pytest.mark.slow
def test_two_workers(tmp_path, capsys):
    assert main([*SMALL, "--trials", "4", "--workers", "2", "--out", str(tmp_path / "s"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["trials"]) == 4
