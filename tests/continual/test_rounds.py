"""Rounds that are each learned anew: what is measured of them, and what is kept of a run."""

import json
import math
from dataclasses import fields
from statistics import fmean
from typing import Any

import pytest
import torch

from innerloop.cli.main import main
from innerloop.continual.build import FollowOptions, Options, able, build
from innerloop.continual.hindsight import in_hindsight
from innerloop.continual.streams import KINDS, RotatingOptions, SinusoidOptions
from innerloop.continual.tracking import largest_angle
from innerloop.core import tree
from innerloop.core.objectives import regression
from innerloop.learners import catalogue
from innerloop.problems.learner import hyper_parameters
from innerloop.problems.networks import NetworkOptions

WAVES = ["--stream", "sinusoids", "--rounds", "4", "--batch-size", "5", "--width", "8", "--curve-every", "1"]
FEW = ["--meta-steps", "2", "--inner-steps", "1"]
TURNING = RotatingOptions(stream="rotating", rounds=6, batch_size=8, input_size=6, dimensions=2)


def waves(**other: Any) -> Options:
    """`ftml` on four sinusoids."""
    stream = SinusoidOptions(stream="sinusoids", rounds=4, batch_size=5)
    fields = {"meta_steps": 2, "inner_steps": 1}
    return Options(learner="ftml", stream=stream, network=NetworkOptions(width=8), fields=fields, **other)


@torch.no_grad()
def test_a_round_is_judged_once_its_rows_were_seen_and_again_from_the_end(tmp_path):
    run = build(waves())
    learned = run.learn(tmp_path)
    state = run.learner.begin(run.params, tree.slice(run.stream.batches(0, 1), 0))
    ends, found = [], []

    def error(task: int) -> float:
        held = run.stream.held_out(task)
        return float(regression(run.learner.predict(run.params, state, held.x), held.y))

    def observe(task: int) -> None:
        nonlocal state
        for i in range(2 * task, 2 * task + 2):
            state = run.learner.observe(run.params, state, tree.slice(run.stream.batches(i, 1), 0))

    for task in range(4):
        observe(task)
        ends.append(error(task))
        state = run.learner.boundary(run.params, state)
    assert torch.allclose(learned.matrix[1:].diagonal(), torch.tensor(ends, dtype=torch.float64), rtol=1e-4)
    last = state
    for task in range(4):
        state = last
        observe(task)
        found.append(error(task))
    assert in_hindsight(run, tmp_path) == pytest.approx(found, rel=1e-4)


def told(capsys, *argv: str) -> dict[str, Any]:
    """What a command prints for machines."""
    assert main([*argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_rounds_by_command_stand_beside_the_same_without_what_they_are_about(tmp_path, capsys):
    out = str(tmp_path / "waves")
    told(capsys, "train", "ftml", *WAVES, *FEW, "--out", out)
    about = told(capsys, "test", out, "--threshold", "1000", "--last", "2")
    assert [row["name"] for row in about["baselines"]] == ["fine_tune_online", "on everything", "from scratch"]
    learned = [about["matrix"][i + 1][i] for i in range(4)]
    assert about["figures"]["LA"]["value"] == pytest.approx(fmean(learned))
    assert about["last"]["ftml"] == pytest.approx(fmean(learned[2:]))
    assert about["regret"]["reference"] == "itself with all that it knew at the end"
    assert len(about["regret"]["rounds"]) == 4
    assert about["proficiency"]["rows"] == about["proficiency"]["baselines"]["from scratch"] == [5] * 4
    page = (tmp_path / "waves" / "report.html").read_text()
    assert "mean over rounds" in page
    assert "against hindsight" in page
    joint = str(tmp_path / "waves" / "baselines" / "on-everything")
    table = told(capsys, "compare", out, joint, "--last", "2")
    gap = fmean(a - b for a, b in zip(_learned(table, 1), _learned(table, 0), strict=True))
    assert table["groups"][1]["headline"] == "LA"
    assert table["groups"][1]["difference"]["mean"] == pytest.approx(gap)


def _learned(table: dict[str, Any], group: int) -> list[float]:
    matrix = table["groups"][group]["runs"][0]["matrix"]
    return [matrix[i + 1][i] for i in range(len(matrix) - 1)]


def test_the_angle_to_the_space_of_a_round_is_kept_where_there_is_one(tmp_path, capsys):
    options = Options(learner="subspace", stream=TURNING, fields={"rank": 2}, follow=FollowOptions(seed=1))
    run: Any = build(options)
    state = run.learn(tmp_path).state
    angles = told(capsys, "test", str(tmp_path))["angles"]
    planes = torch.nn.functional.pad(run.stream.basis(5), (0, 0, 0, 1))
    assert len(angles) == 6
    assert angles[-1] == pytest.approx(largest_angle(state.basis, planes), abs=1e-6)
    assert (tmp_path / "baselines" / "frozen" / "config.json").exists()


def test_largest_angle():
    plane, tilted = torch.eye(3)[:, :2], torch.eye(3)[:, :2].clone()
    tilted[:, 1] = torch.tensor([0.0, math.cos(0.3), math.sin(0.3)])
    assert largest_angle(plane, tilted) == pytest.approx(math.degrees(0.3), rel=1e-5)
    assert largest_angle(plane, plane[:, :1]) == 0


def test_no_learner_has_a_field_that_is_called_like_an_option_of_a_stream():
    options = {f.name for part in (*KINDS, NetworkOptions, FollowOptions) for f in fields(part)}
    for name, cls in catalogue().items():
        assert not able(cls) or not options & hyper_parameters(cls).keys(), name


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["train", "replay", "--stream", "sinusoids", "--points", "7"], "batches of 10 do not divide"),
        (["train", "nearest_mean", "--stream", "sinusoids"], "predicts classes, and the targets of this stream"),
        (["train", "subspace", "--stream", "rotating", "--dimensions", "26"], "rank at most 25"),
        (["train", "subspace", "--stream", "kanji", "--classes", "2"], "subspace"),
    ],
)
def test_what_makes_no_sense_is_one_message(argv, said, tmp_path, capsys):
    assert main([*argv, "--out", str(tmp_path / "run")]) == 2
    assert said in capsys.readouterr().err
