"""Results as words and as files: what is printed, what a file holds, and which files are refused."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.scores import SCORES, Score
from innerloop.evaluate import Protocol, Result
from innerloop.evaluate.result import Point, Reliability, file, spell
from innerloop.evaluate.seal import digest

ACCURACY, MSE, NLL = (SCORES[name] for name in ("accuracy", "mse", "nll"))
NAN, INF = math.nan, math.inf


class Precision(Score):
    """Of two counts; it has no value while nothing is named."""

    name, title, higher_is_better = "tests.evaluate.test_result:PRECISION", "precision", True
    parts: ClassVar[int] = 2

    def of(self, outputs: Tensor, batch: Any) -> Tensor:
        named = outputs.argmax(-1) == 0
        return torch.stack([(named & (batch.y == 0)).sum(), named.sum()]).to(outputs.dtype)

    def total(self, scores: Tensor) -> float:
        right, named = scores.sum(0)
        return (right / named).item()


PRECISION = Precision()


def result(scores: list[Any] | None = None, metric: str = "accuracy", **fields: Any) -> Result:
    values = torch.tensor([[0.5], [0.75], [1.0]] if scores is None else scores, dtype=torch.float64)
    about = Protocol(sampler={"dataset": "blobs", "ways": 5}, episodes=len(values), metric=metric)
    return Result(**{"learner": "X", "protocol": about, "scores": values, "seconds_per_task": 0.01} | fields)


@pytest.mark.parametrize(
    ("score", "mean", "ci95", "text", "difference"),
    [
        (ACCURACY, 0.953, 0.004, "95.3 ± 0.4%", "+95.3 ± 0.4 points"),
        (ACCURACY, -0.0312, 0.0004, "-3.12 ± 0.04%", "-3.12 ± 0.04 points"),
        (ACCURACY, 0.5, 0.0, "50.0 ± 0.0%", "+50.0 ± 0.0 points"),
        (ACCURACY, 0.5, NAN, "50.0% (one episode: no interval)", "+50.0 points (one episode: no interval)"),
        (MSE, 0.4123, 0.0321, "0.412 ± 0.032 mean squared error", "+0.412 ± 0.032"),
        (MSE, 1234.5, 120.0, "1234 ± 120 mean squared error", "+1234 ± 120"),
        (MSE, 0.0, 0.0, "0.000 ± 0.000 mean squared error", "+0.000 ± 0.000"),
        (MSE, 0.05, NAN, "0.050 mean squared error (one episode: no interval)", "+0.050 (one episode: no interval)"),
        (MSE, INF, NAN, "inf mean squared error (one episode: no interval)", "+inf (one episode: no interval)"),
        (MSE, NAN, NAN, "nan mean squared error (one episode: no interval)", "+nan (one episode: no interval)"),
        (NLL, 1.5, 0.25, "1.50 ± 0.25 nats negative log-likelihood", "+1.50 ± 0.25 nats"),
    ],
)
def test_a_number_in_words(score, mean, ci95, text, difference):
    assert spell(mean, ci95, score) == text
    assert spell(mean, ci95, score, sign=True) == difference


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_as_many_digits_are_printed_as_the_interval_has(mean, ci95):
    value, half = spell(mean, ci95, MSE, sign=True).split(" ± ")
    assert len(value.partition(".")[2]) == len(half.partition(".")[2]), "mean and interval end at one place"
    assert float(half) == pytest.approx(ci95, rel=0.051) or ci95 >= 10, "two digits of the interval"
    assert abs(float(value) - mean) <= 0.051 * ci95 + 1e-9 * abs(mean) or ci95 >= 10


def test_the_number_of_a_result_is_the_total_of_its_score():
    one = result()
    assert one.mean == 0.75 and one.ci95 == pytest.approx(1.96 * 0.25 / 3**0.5)
    assert str(one) == f"{one.number} (3 episodes, inductive, 5-way blobs)"
    ratio = result([[1, 2], [0, 1], [3, 3]], PRECISION.name)
    assert ratio.mean == pytest.approx(4 / 6), "of summed counts"
    assert result([[9, 1], [3, 3]], "rmse").mean == pytest.approx(math.sqrt(12 / 4))


def test_reliability_in_words():
    assert str(Reliability(0.0314)) == "expected calibration error 3.1% (no temperature was fitted)"
    fitted = Reliability(0.2, 1.2345, 0.011)
    assert str(fitted) == "expected calibration error 20.0%, 1.1% at the temperature 1.23 of meta-validation"
    kanji = fitted._replace(data="kanji")
    assert str(kanji) == "expected calibration error 20.0%, 1.1% at the temperature 1.23 of kanji (meta-validation)"


@pytest.mark.parametrize(
    "one",
    [
        result(),
        result([[0.5]]),
        result([[1, 2], [0, 1]], PRECISION.name),
        result([[4.0, 2.0]], "rmse", fingerprint="abc"),
        result(reliability=Reliability(0.1), curve=(Point(0, 0.2, 0.1), Point(3, 0.75, 0.2))),
        result(reliability=Reliability(0.1, 2.0, 0.05)),
    ],
)
def test_a_file_gives_back_what_was_saved(one, tmp_path: Path):
    path = one.save(tmp_path, "again")
    assert path == file(tmp_path, one.protocol, "again") and path.name == f"test-{one.protocol.hash}-again.json"
    loaded = Result.load(path)
    for name in ("learner", "protocol", "seconds_per_task", "curve", "fingerprint", "reliability", "parameters"):
        assert getattr(loaded, name) == getattr(one, name), name
    assert torch.equal(loaded.scores, one.scores) and loaded.scores.dtype == torch.float64
    assert str(loaded) == str(one) and loaded.to_json() == replace(one, baseline="again").to_json()
    assert loaded.sealed and loaded.baseline == "again" and Result.load(one.save(tmp_path)).baseline is None


def test_what_has_no_value_is_null_in_the_file(tmp_path: Path):
    """One episode has no interval, and a ratio may have no value before a learner has adapted."""
    one = result([[1, 2]], PRECISION.name, curve=(Point(0, NAN, NAN), Point(1, 0.5, NAN)))
    path = one.save(tmp_path)
    content = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert content["ci95"] is None and content["curve"] == [[0, None, None], [1, 0.5, None]]
    curve = Result.load(path).curve
    assert curve is not None and all(math.isnan(v) for v in (*curve[0][1:], curve[1].ci95))
    assert (curve[1].step, curve[1].mean) == (1, 0.5)


def test_numbers_an_episode_are_a_list_only_where_there_are_several():
    assert result().to_json()["scores"] == [0.5, 0.75, 1.0]
    assert result([[1, 2], [0, 1]], PRECISION.name).to_json()["scores"] == [[1, 2], [0, 1]]


def test_release_0_1_0_called_the_fingerprint_of(tmp_path: Path):
    path = result(fingerprint="abc").save(tmp_path)
    content = json.loads(path.read_text())
    content["of"] = content.pop("fingerprint")
    for name in ("reliability", "uncertainty", "digest", "parameters", "step", "baseline"):
        del content[name]
    path.write_text(json.dumps(content))
    one = Result.load(path)
    assert one.fingerprint == "abc" and one.reliability is None and not one.sealed and one.baseline is None
    assert Result.load(path.rename(path.with_stem(f"{path.stem}-pixels"))).baseline == "pixels"


EDITS = {
    "learner": "Y",
    "scores": [0.5, 0.75, 0.875],
    "mean": 0.9,
    "ci95": 0.001,
    "seconds_per_task": 0.001,
    "curve": [[0, 0.5, 0.1]],
    "fingerprint": "0" * 16,
    "parameters": "0" * 16,
    "step": 7,
    "baseline": "untrained",
    "options": {"ways": 7, "data": "--allow=elsewhere"},
    "reliability": {"ece": 0.0, "temperature": None, "calibrated": None},
    "uncertainty": {"members": 1, "scores": {}, "calibrated": {}, "bins": [], "calibrated_bins": []},
    "digest": "0" * 16,
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_file_is_refused_with_the_command_that_renews_it(tmp_path: Path, name):
    path = result(fingerprint="abc", parameters="def").save(tmp_path)
    content = json.loads(path.read_text())
    assert set(content) - set(EDITS) == {"hash", "protocol"}, "these are covered by a hash of their own"
    assert content[name] != EDITS[name]
    path.write_text(json.dumps(content | {name: EDITS[name]}))
    with pytest.raises(
        InputError, match=rf"{path.name} was edited .*`innerloop test {tmp_path} --ways 5 --episodes 3`"
    ):
        Result.load(path)


def test_the_command_of_an_edited_protocol_does_not_measure_what_it_says(tmp_path: Path):
    path = result().save(tmp_path)
    content = json.loads(path.read_text())
    content["protocol"]["sampler"]["ways"] = "; reboot"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"edited .*`innerloop test {tmp_path}`$"):
        Result.load(path)


def test_a_file_that_is_written_in_another_order_is_the_same(tmp_path: Path):
    path = result().save(tmp_path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(content.items())), indent=2))
    assert Result.load(path).mean == 0.75


DROP = object()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learner": DROP}, "not a test result of this version"),
        ({"hash": DROP}, "not a test result of this version"),
        ({"curve": [[0, 0.5]]}, "not a test result of this version"),
        ({"reliability": {"ece": 0.1, "bins": 15}}, "not a test result of this version"),
        ({"scores": [0.5, None, 1.0]}, "not a test result of this version"),
        ({"scores": [[0.5], [0.5, 1.0], [1.0]]}, "not a test result of this version"),
        ({"protocol": {"ways": 5}}, "not a protocol of this version"),
        ({"protocol": {"sampler": 5, "episodes": 3}}, "not a test result of this version"),
        ({"hash": "0" * 16}, "does not hold what its protocol says"),
        ({"scores": 0.5}, "does not hold what its protocol says"),
        ({"scores": [0.5, 0.75]}, "does not hold what its protocol says"),
        ({"scores": [[0.5, 1], [0.75, 1], [1.0, 1]]}, "does not hold what its protocol says"),
        ({"scores": [[[0.5]], [[0.75]], [[1.0]]]}, "does not hold what its protocol says"),
    ],
)
def test_a_file_of_something_else_is_refused_by_name(tmp_path: Path, changes, message):
    path = result().save(tmp_path)
    content = {k: v for k, v in (json.loads(path.read_text()) | changes).items() if v is not DROP}
    path.write_text(json.dumps(content | {"digest": digest(content)}))
    with pytest.raises(InputError, match=rf"{path.name}.*{message}.*run the test again"):
        Result.load(path)


@pytest.mark.parametrize("text", ["", "[]", "3", "null", '"test"'])
def test_json_of_another_kind_is_refused(tmp_path: Path, text):
    (tmp_path / "test-x.json").write_text(text)
    with pytest.raises(InputError, match=r"test-x\.json is not a test result"):
        Result.load(tmp_path / "test-x.json")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"cannot read .*nothing\.json: No such file"):
        Result.load(tmp_path / "nothing.json")


def test_a_file_under_a_score_that_has_other_numbers_today_is_refused(tmp_path: Path, monkeypatch):
    path = result([[1, 2], [0, 1]], PRECISION.name).save(tmp_path)
    monkeypatch.setattr(Precision, "parts", 3)
    with pytest.raises(InputError, match="run the test again"):
        Result.load(path)
    unknown = replace(result().protocol, metric="nowhere.at_all:SCORE")
    with pytest.raises(InputError, match=r"import nowhere\.at_all first"):
        Result.load(_with(path, metric=unknown.metric, hash=replace(unknown, episodes=2).hash))


def _with(path: Path, metric: str, hash: str) -> Path:
    content = json.loads(path.read_text())
    content["protocol"]["metric"], content["hash"] = metric, hash
    path.write_text(json.dumps(content | {"digest": digest(content)}))
    return path
