"""What a run folder keeps of tests: whose number each is, of which parameters, and what was edited."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from innerloop.core.errors import InputError
from innerloop.core.interval import Interval
from innerloop.engine import TrainConfig, load, meta_train
from innerloop.evaluate import Result, kept, meta_test, seal
from innerloop.evaluate.compare import comparable, compare
from innerloop.evaluate.optimizer_curves import Descent, OptimizerCurves
from innerloop.evaluate.seal import parameters_of
from tests.evaluate import tiny

RELEASE = Path(__file__).parents[1] / "releases" / "0.1.0" / "runs"


def train(run: Path, steps: int) -> None:
    meta_train(tiny.protonet(), tiny.sampler(), TrainConfig(steps=steps, meta_batch_size=1, plan="loop"), out=run)


def score(run: Path, label: str = "", seed: int = 3) -> Path:
    learner, params = load(run)
    params = learner.init(0) if label else params
    return meta_test(learner, params, tiny.sampler(seed=seed), 3, quiet=True).save(run, label)


@pytest.fixture
def run(tmp_path) -> Path:
    """Trained for a step and tested, beside its untrained self, whose file has the later date and the first name."""
    train(tmp_path / "p", 1)
    score(tmp_path / "p")
    score(tmp_path / "p", "untrained")
    return tmp_path / "p"


def test_a_result_says_which_parameters_it_is_of(run):
    own, baseline = kept.results(run)
    assert own.own and own.result is not None and own.mark is own.warning is None
    assert own.result.parameters == parameters_of(run) and own.result.step == 1
    assert not baseline.own and baseline.baseline == "untrained" and baseline.mark is None
    assert baseline.result is not None and baseline.result.parameters != parameters_of(run)
    assert kept.marked(own).learner == "ProtoNet" and kept.marked(baseline).learner == "ProtoNet (baseline)"


def test_a_result_of_fewer_steps_is_marked_until_it_is_renewed(run):
    train(run, 3)
    own, baseline = kept.results(run)
    assert own.mark == "of step 1, the run is at step 3" and own.own
    assert own.warning is not None and own.warning.startswith(f"{own.path.name} is of step 1, the run is at step 3: ")
    words = ["innerloop", "test", str(run), "--ways", "5", "--shots", "1", "--queries", "4", "--seed", "3"]
    assert own.warning.endswith(f"by `{' '.join(words)} --episodes 3`")
    assert kept.marked(own).learner == "ProtoNet (of step 1, the run is at step 3)"
    assert baseline.mark is None, "an untrained learner does not change with training"
    score(run)
    assert [one.mark for one in kept.results(run)] == [None, None]


def test_what_is_of_the_run_as_it_is_stands_first(run):
    train(run, 2)
    new = score(run, seed=4)
    own, old, baseline = kept.results(run)
    assert own.path == new and own.mark is None and old.mark is not None and baseline.baseline
    score(run, seed=5)
    assert [one.mark is None for one in kept.results(run)] == [True, True, False, True]


def test_a_result_of_another_run_is_no_result_of_this_one(run, tmp_path):
    learner, params = load(run)
    other = meta_test(learner, {k: v + 0.1 for k, v in params.items()}, tiny.sampler(seed=3), 3, quiet=True)
    other.save(run)
    assert kept.results(run)[0].mark == "of other parameters than the run has now"
    replace(other, parameters=None).save(run)
    assert kept.results(run)[0].mark == "does not say which parameters were tested"


def test_an_edited_result_is_named_and_stands_last(run):
    own = kept.results(run)[0].path
    content = json.loads(own.read_text())
    own.write_text(json.dumps(content | {"scores": [1.0, 1.0, 1.0]}))
    baseline, edited = kept.results(run)
    assert baseline.baseline == "untrained" and edited.result is None and not edited.own
    assert edited.warning is not None and "was edited" in edited.warning and "innerloop test" in edited.warning
    assert "mean" not in edited.to_json() and "edited" in edited.to_json()["error"]
    for read in (kept.read, Result.load):
        with pytest.raises(InputError, match="was edited"):
            read(own)
    with pytest.raises(InputError, match="was edited"):
        kept.marked(edited)


def test_a_baseline_does_not_become_a_result_by_its_name(run):
    baseline = kept.results(run)[1].path
    shutil.copy(baseline, kept.results(run)[0].path)
    assert [one.baseline for one in kept.results(run)] == ["untrained", "untrained"]


def test_results_of_an_earlier_release_are_read_and_marked():
    own, *baselines = kept.results(RELEASE / "protonet")
    assert own.own and own.mark == "of an earlier release, without a digest"
    assert own.warning is not None and "innerloop test" in own.warning
    assert {one.baseline for one in baselines} == {"pixels", "untrained"} and all(one.mark for one in baselines)
    (curves,) = kept.curves(RELEASE / "l2o")
    assert curves.result is not None and curves.mark == own.mark


def test_a_folder_without_parameters_has_nothing_to_compare_with(run, tmp_path):
    elsewhere = shutil.copy(kept.results(run)[0].path, tmp_path)
    assert kept.read(elsewhere).mark is None


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"protocol": 3, "digest": []}', "[" * 10_000, "\x00", '{"scores": [1e999], "hash": {}}'],
)
def test_whatever_is_in_a_folder_the_others_are_still_shown(run, content):
    (run / "test-zzz-odd.json").write_text(content)
    (run / "test-aaa.json").write_bytes(b"\xff\xfe")
    *good, first, second = kept.results(run)
    assert [one.result is not None for one in good] == [True, True] and first.result is second.result is None


def test_results_of_an_earlier_release_stand_alone():
    results = [one.result for one in kept.results(RELEASE / "protonet") if one.result is not None]
    assert len({one.protocol.hash for one in results}) == 1 < len(results), "the same hash says nothing of the pictures"
    with pytest.raises(InputError, match="does not say which data"):
        compare(*results)
    groups = comparable(results, lambda one: one)
    assert groups == [[one] for one in results] and all(compare(*group).rows for group in groups)


def test_optimizer_curves_say_which_parameters_they_are_of(run):
    rows = (Descent(name="L2O", rate=None, mean=(1.0,), ci95=(0.1,), sums=(Interval(1.0, 0.1),)),)
    about = {"dataset": "quadratics", "split": "test", "seed": 5, "functions": 4, "horizons": (1,), "rows": rows}
    path = OptimizerCurves(**about, parameters=parameters_of(run)).save(run)
    (curves,) = kept.curves(run)
    assert curves.result is not None and curves.result.step == 1 and curves.mark is None
    train(run, 2)
    (curves,) = kept.curves(run)
    assert curves.mark == "of step 1, the run is at step 2"
    assert curves.warning is not None and "--seed 5 --episodes 4`" in curves.warning
    path.write_text(path.read_text().replace("0.1", "0.2"))
    (curves,) = kept.curves(run)
    assert curves.result is None and curves.warning is not None and "was edited" in curves.warning


@pytest.mark.parametrize(
    "odd",
    [
        {"step": "60"},
        {"parameters": 3},
        {"baseline": {"pixels": 1}},
        {"curve": [[0, "a", 0.1], [1, 0.5, 0.1]]},
        {"curve": [["a", 0.5, 0.1], [1, 0.5, 0.1]]},
        {"reliability": {"ece": "0.1"}},
        {"reliability": {"ece": 0.1, "temperature": [1], "calibrated": 0.1}},
        {"seconds_per_task": True},
        {"seconds_per_task": math.nan},
    ],
)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_result_with_odd_entries_is_refused_before_it_is_shown(run, odd, sealed):
    own = kept.results(run)[0].path
    train(run, 2)
    content = json.loads(own.read_text()) | odd
    content[seal.DIGEST] = seal.digest(content) if sealed else None
    own.write_text(json.dumps(content))
    refused = kept.results(run)[-1]
    assert refused.path == own and refused.result is None and "is not a test result" in str(refused.warning)
    json.dumps([one.to_json(scores=True) for one in kept.results(run)], allow_nan=False)


@pytest.mark.parametrize(
    "odd",
    [
        {"step": "60"},
        {"horizons": [1, 2, 9_000]},
        {"horizons": [1]},
        {"horizons": ["a"]},
        {"rows": [{"name": "L2O", "mean": ["a"]}]},
    ],
)
def test_odd_optimizer_curves_are_refused_before_they_are_shown(tmp_path, odd):
    (source,) = kept.curves(RELEASE / "l2o")
    assert source.result is not None and str(source.result)
    content = json.loads(source.path.read_text()) | odd
    content[seal.DIGEST] = seal.digest(content)
    (tmp_path / source.path.name).write_text(json.dumps(content))
    (curves,) = kept.curves(tmp_path)
    assert curves.result is None and "holds no curves of this version" in str(curves.warning)
