"""`innerloop play`: from a run folder to a page."""

import json

import pytest

pytest.importorskip("matplotlib", reason="pages need the extra report")
from innerloop.cli.main import main
from tests.runs.test_agents import SHORT


@pytest.fixture(scope="module")
def walker(tmp_path_factory):
    run = tmp_path_factory.mktemp("agents") / "walker"
    assert main(["train", "maml_rl", "--env", "navigation", *SHORT, "--out", str(run)]) == 0
    return run


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    run = tmp_path_factory.mktemp("others") / "classes"
    assert (
        main(["train", "maml", "--data", "sinusoid", "--steps", "1", "--validate-every", "0", "--out", str(run)]) == 0
    )
    return run


def played(capsys, *words):
    capsys.readouterr()
    assert main(["play", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_is_shown_on_the_tasks_that_it_is_tested_on(walker, tmp_path, capsys):
    shown = played(capsys, walker, "--out", tmp_path / "play.html", "--task", 1, "--png", tmp_path / "strips")
    assert [row["step"] for row in shown["episodes"]] == [0, 1, 2, 3]
    assert all(len(row["returns"]) == 3 and max(row["lengths"]) <= 4 for row in shown["episodes"])
    assert shown["learner"] == "MAMLRL" and shown["environment"] == "Navigation" and shown["task"] == 1
    assert (tmp_path / "play.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "strips" / "task-1.png").read_bytes().startswith(b"\x89PNG")
    # The very task, and the very returns, of a test with as many steps.
    assert main(["test", str(walker), "--episodes", "2", "--steps", "3", "--no-baselines"]) == 0
    (kept,) = [json.loads(f.read_text()) for f in walker.glob("test-????????????????.json")]
    assert kept["scores"][1] == shown["episodes"][-1]["mean"]
    other = played(capsys, walker, "--out", tmp_path / "play.html", "--seed", "78", "--steps", "1")
    assert len(other["episodes"]) == 2 and other["episodes"][0]["mean"] != shown["episodes"][0]["mean"]


def test_people_are_told_the_returns_and_the_files(walker, tmp_path, capsys):
    assert main(["play", str(walker), "--out", str(tmp_path / "a.html"), "--trajectories", "1"]) == 0
    said = capsys.readouterr().out
    assert "MAMLRL in Navigation, task 0, mean return of 3\nbefore adaptation: -" in said
    assert "\nafter 1 inner step: -" in said and "\nafter 3 inner steps: -" in said
    assert f"page: {tmp_path / 'a.html'}" in said and "picture" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "-1"], "task is a whole number from 0"),
        (["--steps", "-1"], "steps is a whole number from 0 to 11"),
        (["--steps", "12"], "steps is a whole number from 0 to 11"),
        (["--trajectories", "0"], "trajectories is a whole number from 1"),
        (["--out", "play.gif"], "ends otherwise than in .html"),
        (["--png", ""], "names the folder"),
    ],
)
def test_what_makes_no_sense_is_one_message(words, said, walker, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["play", str(walker), *words]) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_what_is_no_agent_or_no_run_is_refused(classes, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["play", str(classes)]) == 2
    assert "MAML is no agent" in (said := capsys.readouterr().err) and "maml_rl" in said and "--env" in said
    assert main(["play", "nowhere"]) == 2
    assert "nowhere is not a run folder" in capsys.readouterr().err and not list(tmp_path.iterdir())
