"""Trackers hear a run once and in order, and nothing that they do is felt by it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from innerloop.core.errors import InputError
from innerloop.engine import TrainConfig, meta_train
from innerloop.track import watcher
from innerloop.track.watcher import Tracking, for_test, trackers
from tests.engine.test_train import LEARNER, TASKS, lines, same, train
from tests.engine.test_watchers import watched
from tests.track.diaries import Broken, Diary, Dies, Hanging, Loses, NeverOpens, Slow

SCRIPT = """
import sys
from dataclasses import replace
from innerloop.engine import Watcher, meta_train
from innerloop.track.watcher import Tracking
from tests.engine.test_train import CONFIG, LEARNER, TASKS
from tests.track.diaries import Diary
import time
class Pause(Watcher):
    def step(self, number, metrics):
        time.sleep(0.02)
config = replace(CONFIG, steps=2000, checkpoint_every=5, validate_every=0)
meta_train(LEARNER, TASKS, config, sys.argv[1], watchers=[Pause(), Tracking(Diary)])
"""


def diary(run):
    return [json.loads(line) for line in (run / "tracking" / "diary.jsonl").read_text().splitlines()]


def steps(entries):
    return [entry["step"] for entry in entries if "values" in entry]


def test_every_step_is_heard_once_with_its_numbers(tmp_path):
    watched(Tracking(Diary), out=tmp_path, steps=10)
    entries = diary(tmp_path)
    assert entries[0]["settings"]["train.steps"] == 10 and entries[0]["settings"]["learner"] == type(LEARNER).__name__
    assert steps(entries) == list(range(1, 11)) and entries[-1] == {"closed": "finished"}
    logged = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    ours = {entry["step"]: entry["values"] for entry in entries if "values" in entry}
    for line in logged:
        if "validation" in line:
            assert ours[line["step"]]["validation/accuracy"] == line["validation"]["mean"]
        else:
            assert ours[line["step"]]["train/loss"] == line["loss"]


@pytest.mark.exact
@pytest.mark.parametrize(
    ("tracker", "said"),
    [
        (Broken, "Broken failed after step 0 (ValueError: no more room) and is left out from now on"),
        (Loses, "Loses failed after step 0 (FileNotFoundError: "),
        (NeverOpens, "NeverOpens failed after step 0 (SystemError: cannot) and is left out"),
        (Dies, None),
    ],
)
def test_a_run_has_the_same_bits_whatever_its_tracker_does(tmp_path, capfd, tracker, said):
    params = watched(Tracking(tracker), out=tmp_path / "tracked", steps=10)
    told = capfd.readouterr().err
    assert said is None or told.count(said) == 1
    assert same(params, train(tmp_path / "alone", steps=10))
    assert lines(tmp_path / "tracked") == lines(tmp_path / "alone")


def test_several_trackers_hear_the_same(tmp_path, capfd):
    watched(Tracking(Diary, "one"), Tracking(Broken, "two"), out=tmp_path, steps=10)
    assert steps(diary(tmp_path)) == list(range(1, 11)) and capfd.readouterr().err.count("two failed") == 1


def test_a_slow_one_is_told_once_and_hears_everything(tmp_path, capfd):
    watched(Tracking(Slow), out=tmp_path, steps=12)
    assert steps(diary(tmp_path)) == list(range(1, 13))
    assert capfd.readouterr().err.count("Slow takes 8") == 1


def test_one_that_never_ends_is_left_in_the_background(tmp_path, capfd):
    watched(Tracking(Hanging, patience=1.0), out=tmp_path, steps=4)
    assert "Hanging is still sending, and goes on in the background" in capfd.readouterr().err


def test_a_resumed_run_goes_on_under_its_id(tmp_path):
    watched(Tracking(Diary), out=tmp_path, steps=4, schedule="constant")
    watched(Tracking(Diary), out=tmp_path, steps=10, schedule="constant")
    entries = diary(tmp_path)
    opened = [entry for entry in entries if "opened" in entry]
    assert len({entry["opened"] for entry in opened}) == 1 and [entry["step"] for entry in opened] == [0, 4]
    assert steps(entries) == list(range(1, 11))
    # Nothing is left to train: nobody is started.
    watched(Tracking(Diary), out=tmp_path, steps=10, schedule="constant")
    assert diary(tmp_path) == entries


def test_another_run_in_the_folder_is_another_one_for_the_tracker(tmp_path):
    watched(Tracking(Diary), out=tmp_path, steps=4)
    for name in ("config.json", "state.pt", "metrics.jsonl"):
        (tmp_path / name).unlink()
    watched(Tracking(Diary), out=tmp_path, steps=6)
    assert len({entry["opened"] for entry in diary(tmp_path) if "opened" in entry}) == 2
    assert steps(diary(tmp_path)) == [1, 2, 3, 4, 1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_after_kill_9_every_step_is_there_once(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(Path.cwd()), *sys.path]))}
    for _ in range(2):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        before = len(steps(diary(tmp_path))) if (tmp_path / "tracking" / "diary.jsonl").exists() else 0
        for _ in range(600):
            time.sleep(0.1)
            file = tmp_path / "tracking" / "diary.jsonl"
            if file.exists() and len(steps(diary(tmp_path))) >= before + 20:
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
        for _ in range(100):  # its tracker hears that it is gone, and ends by itself
            time.sleep(0.1)
            if diary(tmp_path)[-1].get("closed") == "the process of the training is gone":
                break
    entries = diary(tmp_path)
    assert entries[-1] == {"closed": "the process of the training is gone"}
    assert len({entry["opened"] for entry in entries if "opened" in entry}) == 1
    assert steps(entries) == list(range(1, len(steps(entries)) + 1)) and len(steps(entries)) >= 40


def test_a_run_without_a_folder_is_trained_all_the_same(capsys):
    watched(Tracking(Diary), steps=2)
    assert "follows what a run folder holds: give the training one (out=)" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_missing_package_is_refused_with_its_extra(monkeypatch, name):
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    with pytest.raises(InputError, match=rf"'--track {name}' needs .* pip install 'innerloop\[{name}\]'"):
        trackers([name])


def test_names_are_checked():
    with pytest.raises(InputError, match="there is no tracker 'comet'; there are tensorboard, wandb, mlflow"):
        trackers(["comet"])
    with pytest.raises(InputError, match="named twice"):
        trackers(["tensorboard", "tensorboard"])


def test_a_test_goes_where_its_run_went(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(watcher.TRACKERS, "diary", Diary)
    meta_train(LEARNER, TASKS, TrainConfig(steps=2, plan="vmap"), tmp_path, watchers=trackers(["diary"]))
    assert [one.name for one in for_test(tmp_path, ())] == ["diary"]
    assert for_test(tmp_path, ("none",)) == [] and [one.name for one in for_test(tmp_path, ("diary",))] == ["diary"]
    with pytest.raises(InputError, match="none is none"):
        for_test(tmp_path, ("none", "diary"))
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    assert for_test(tmp_path, ()) == [] and "this test is not sent on" in capsys.readouterr().err
