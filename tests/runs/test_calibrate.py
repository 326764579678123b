import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from innerloop.core.errors import InputError
from innerloop.evaluate import calibration
from innerloop.evaluate.calibration import Calibration
from innerloop.evaluate.result import Result
from innerloop.problems.classes import Classes
from innerloop.runs import build, calibrate, defaults
from innerloop.runs.measure import MetaTestOptions, measure, prepare
from innerloop.tasks import EpisodeSampler


def options(**changes):
    usual = defaults("protonet", "digits")
    return replace(
        usual,
        task=replace(usual.task, ways=3),
        network=replace(usual.network, width=4),
        train=replace(usual.train, steps=2, plan="loop", **changes),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "p"
    build(options()).meta_train(out)
    return out


def test_training_ends_with_a_calibration_that_a_finished_run_keeps(run):
    found = calibration.read(run)
    assert found is not None and found.source == "meta-validation" and found.temperature > 0
    assert found.ece is not None and 0 <= found.ece <= 1
    before = (run / "calibration.json").stat().st_mtime_ns
    build(options()).meta_train(run)
    assert (run / "calibration.json").stat().st_mtime_ns == before
    assert calibrate.calibrate(run) == found
    changed = json.loads((run / "calibration.json").read_text()) | {"of": "another", "temperature": 77.0}
    (run / "calibration.json").write_text(json.dumps(changed))
    assert calibrate.calibrate(run) == found, "that of other parameters is measured again"


def test_the_test_tells_the_error_before_and_after(run):
    tested = measure(run, MetaTestOptions(episodes=20, queries=5))
    found, stored = tested.result.reliability, calibration.read(run)
    assert found is not None and stored is not None and tested.report is not None
    assert found.temperature == stored.temperature and found.calibrated is not None
    assert f"{100 * found.ece:.1f}%" in str(tested) and "expected calibration error" in tested.report.read_text()
    assert Result.load(tested.file).reliability == found
    assert tested.to_json()["reliability"]["ece"] == found.ece
    others = [row.result.reliability for row in tested.comparison.rows if row.result is not tested.result]
    assert all(other is not None and other.temperature is None and 0 <= other.ece <= 1 for other in others)


def test_the_error_at_the_temperature_of_another_data_set_says_so(run, tmp_path):
    other = Path(shutil.copytree(run, tmp_path / "other"))
    config = json.loads((other / "config.json").read_text())
    config["record"]["dataset"] = "runes"
    (other / "config.json").write_text(json.dumps(config))
    for folder, data in ((run, "digits"), (other, "runes")):
        tested = measure(folder, MetaTestOptions(split="validation", ways=2, episodes=6, queries=5, baselines=False))
        assert tested.result.protocol.sampler["dataset"] == "digits" and tested.report is not None
        places = (str(tested), str(Result.load(tested.file).reliability), tested.report.read_text())
        assert all(f"of {data} (meta-validation)" in place for place in places)
        assert tested.to_json()["reliability"]["data"] == data
        assert tested.to_json()["interval"] == "95%, ± over tasks, one training" and "one training" in str(tested)


def test_what_cannot_be_calibrated(run, tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        calibrate.calibrate(tmp_path)
    splits = build(options()).splits
    assert splits is not None and splits.validation is not None
    most = int(splits.validation.counts.min())
    calibrating = Classes(ways=5).calibrating(splits)
    assert isinstance(calibrating, EpisodeSampler) and calibrating.ways == len(splits.validation)
    assert Classes(ways=1).calibrating(splits) is None and Classes(shots=most).calibrating(splits) is None


def test_a_training_that_diverged_is_kept_without_a_calibration(tmp_path, capsys):
    made = build(options())
    assert made.calibrate_on is not None
    params = made.learner.init(0)
    broken = {k: v * float("nan") for k, v in params.items()}
    calibrate.keep_if_possible(tmp_path, made.learner, broken, made.calibrate_on)
    assert "was not calibrated" in capsys.readouterr().err and calibration.read(tmp_path) is None


def test_scores_that_are_no_probabilities_are_not_calibrated(tmp_path):
    usual = defaults("figr", "digits")
    usual = replace(usual, task=replace(usual.task, ways=2, train_ways=2), network=replace(usual.network, width=4))
    made = build(replace(usual, train=replace(usual.train, steps=1, plan="loop")))
    assert made.calibrate_on is None
    made.meta_train(tmp_path)
    with pytest.raises(InputError, match="FIGR gives scores and no probabilities"):
        calibrate.calibrate(tmp_path)
    tested = measure(tmp_path, MetaTestOptions(episodes=2, queries=2, steps=1, baselines=False, curve=False))
    assert tested.result.reliability is None and tested.result.uncertainty is None


def test_a_calibration_of_other_parameters_is_not_used(tmp_path):
    calibration.write(tmp_path, Calibration(temperature=2.0), "these")
    kept = calibration.read_current(tmp_path, "these")
    assert kept is not None and kept.temperature == 2.0
    with pytest.warns(UserWarning, match="of other parameters than the run has now, and is not used"):
        assert calibration.read_current(tmp_path, "others") is None
    calibration.write(tmp_path, Calibration(temperature=3.0))
    assert calibration.read_current(tmp_path, "others") == Calibration(temperature=3.0)


def test_a_calibration_of_the_first_release_is_measured_again(run, tmp_path):
    folder = Path(shutil.copytree(run, tmp_path / "old"))
    content = json.loads((folder / "calibration.json").read_text())
    old = content | {"ways": None, "tasks": None, "false_accepts": None, "threshold": 0.5, "target": 0.05}
    (folder / "calibration.json").write_text(json.dumps(old))
    assert calibration.read(folder) != calibration.read(run)
    assert calibrate.calibrate(folder) == calibration.read(folder) == calibration.read(run)


def test_a_temperature_is_not_that_of_a_learner_with_other_statistics(run):
    flattered, as_calibrated = (
        prepare(run, MetaTestOptions(episodes=2, transductive=transductive, baselines=False))[0].temperature
        for transductive in (True, False)
    )
    assert flattered is None and as_calibrated is not None


@pytest.mark.parametrize("train", [None, {}])
def test_a_run_that_does_not_say_how_it_was_trained_is_tested(run, tmp_path, train):
    folder = Path(shutil.copytree(run, tmp_path / "bare"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"train": train}))
    assert len(prepare(folder, MetaTestOptions(episodes=2))) == 3
    (folder / "config.json").write_text(json.dumps(config | {"train": {"seed": "7"}}))
    with pytest.raises(InputError, match="its seed is '7'"):
        prepare(folder, MetaTestOptions(episodes=2))
