"""What strangers hand over: the right answer, or one message; never another error, never a silent wrong answer."""

import datetime
import enum
import gzip
import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from innerloop.core.errors import InputError
from innerloop.encoders.module import Own
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.learners.baselines.nearest_centroid import NearestCentroid

X = np.array([[0.0, 0.0], [0.0, 1.0], [5.0, 5.0], [5.0, 6.0]])
Y = ["a", "a", "b", "b"]
COMPOSED, DECOMPOSED = "\u00e9", "e\u0301"


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


def answers(x, y=Y, asked: Any = None):
    return FewShotClassifier().fit(x, y).predict(X if asked is None else asked).tolist()


def masked(values, at):
    mask = np.zeros(np.shape(values), dtype=bool)
    mask[at] = True
    return np.ma.array(values, mask=mask)


RIGHT = {
    "big endian": X.astype(">f4"),
    "big endian integers": X.astype(">i8"),
    "negative strides": np.ascontiguousarray(X[::-1])[::-1],
    "masked, with nothing masked": np.ma.array(X),
    "negated view": torch.complex(torch.zeros(4, 2), -torch.tensor(X).float()).conj().imag,
    "objects": X.astype(object),
}


@pytest.mark.parametrize("name", RIGHT)
def test_numbers_in_odd_memory_are_numbers(name):
    assert answers(RIGHT[name]) == Y


REFUSED = {
    "masked": (masked(X, (2, 0)), "masked values, the first in example 2"),
    "masked rows": ([*X[:3], masked(X[3], 1)], "masked values, the first in example 3"),
    "days": (np.array([["2020-01-01"], ["2021-01-01"], ["2022-01-01"], ["2023-01-01"]], "M8[D]"), "X holds times"),
    "durations": (np.arange(4).astype("m8[s]")[:, None], "X holds times"),
    "integers beyond floats": ([[10**400, 1]] * 4, "too large"),
    "tensors with gradients": ([[torch.tensor(1.0, requires_grad=True), 2.0]] * 4, "array of numbers"),
    "no data": (torch.zeros(4, 2, device="meta"), "meta device"),
    "sparse": (torch.tensor(X).to_sparse(), "to_dense"),
    "a generator": ((row for row in X), "of type generator"),
    "a set": ({1.0, 2.0}, "of type set"),
    "nothing": (None, "of type NoneType"),
    "one text": (np.array("hello"), "one example"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_array_of_numbers_is_refused_in_one_message(name):
    x, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        answers(x)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, of both
def test_tensors_of_rare_kinds():
    assert answers(torch.quantize_per_tensor(torch.tensor(X).float(), 0.05, 0, torch.quint8)) == Y
    with pytest.raises(InputError, match="nested tensor"):
        answers(torch.nested.nested_tensor([torch.ones(2)] * 3 + [torch.ones(1)]))


def test_missing_values_of_a_table_are_named():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=["u", "v"]).astype("Float64")
    table.iloc[1, 0] = pandas.NA
    with pytest.raises(InputError, match=r"missing values \(NA\), the first in example 1"):
        answers(table)
    dates = pandas.DataFrame({"day": pandas.to_datetime(["2020-01-01"] * 2 + ["2021-01-01"] * 2)})
    with pytest.raises(InputError, match="X holds times"):
        answers(dates)
    for y in ([1.0, pandas.NA, 2.0, 2.0], pandas.Series([True, None, True, False], dtype="boolean")):
        with pytest.raises(InputError, match="NaN or nothing, first for example 1"):
            answers(X, y)
    with pytest.raises(InputError, match="y holds times"):
        answers(X, dates["day"])


LABELS = {
    "half precision": (torch.tensor([0, 0, 1, 1], dtype=torch.bfloat16), [0, 0, 1, 1]),
    "a list of tensors": ([torch.tensor(v) for v in (0, 0, 1, 1)], [0, 0, 1, 1]),
    "integers of very different size": ([-1, -1, 2**63, 2**63 + 1], [-1, -1, 2**63, 2**63 + 1]),
    "integers beyond 64 bits": ([2**64, 2**64 + 1, 2**65, 0], [2**64, 2**64 + 1, 2**65, 0]),
    "zeros in the end": (["a", "a\0", "b", "b"], ["a", "a\0", "b", "b"]),
    "enumerations": ([Colour.RED, Colour.RED, Colour.BLUE, Colour.BLUE], ["red", "red", "blue", "blue"]),
    "integers of NumPy among others": ([np.uint64(2**63), 1, 2, 3], [2**63, 1, 2, 3]),
}


@pytest.mark.parametrize("name", LABELS)
def test_classes_stay_what_they_are(name, tmp_path):
    y, expected = LABELS[name]
    classifier = FewShotClassifier().fit(X, y)
    again = FewShotClassifier.load(classifier.save(tmp_path / "task.fewshot"))
    for one in (classifier, again):
        assert one.classes_.tolist() == sorted(set(expected)), "no two classes have become one"
        assert one.predict(X).tolist() == expected
        assert one.score(X, y) == 1


NO_LABELS = {
    "masked": (masked([0, 0, 1, 1], 3), "masked values, the first in example 3"),
    "times": (np.array(["2020", "2020", "2021", "2021"], "M8[ns]"), "y holds times"),
    "times in a list": ([np.datetime64("2020", "ns")] * 4, "Unknown label type"),
    "ragged": ([["a"], ["a", "b"], ["b"], ["b"]], "Unknown label type"),
    "dates": ([datetime.date(2020, 1, 1)] * 4, "Unknown label type"),
    "bytes": ([b"a", b"a", b"b", b"b"], "Unknown label type"),
    "sparse": (torch.tensor([0, 0, 1, 1]).to_sparse(), "to_dense"),
    "no data": (torch.zeros(4, device="meta"), "meta device"),
    "nothing": (["a", None, "b", "b"], "NaN or nothing, first for example 1"),
    "a generator": ((label for label in Y), "one label for each example"),
}


@pytest.mark.parametrize("name", NO_LABELS)
def test_what_is_no_label_is_refused_in_one_message(name):
    y, message = NO_LABELS[name]
    with pytest.raises(InputError, match=message):
        answers(X, y)
    if name != "a generator":
        with pytest.raises(InputError):
            FewShotClassifier().fit(X, Y).partial_fit(X, Y, classes=y)


def test_a_score_knows_a_class_by_either_spelling_and_other_kinds_of_labels_from_wrong_answers():
    classifier = FewShotClassifier().fit(X, [COMPOSED, COMPOSED, "b", "b"])
    assert classifier.score(X, [DECOMPOSED, DECOMPOSED, "b", "b"]) == 1
    assert classifier.score(X, ["a", "a", "b", "b"]) == 0.5
    with pytest.raises(InputError, match="both"):
        classifier.score(X, [0, 0, 1, 1])
    with pytest.raises(InputError, match="0 sample"):
        classifier.score(X[:0], [])
    classifier.partial_fit(X, [DECOMPOSED, DECOMPOSED, "b", "b"], classes=[COMPOSED, "b"])
    assert classifier.examples_ == {"b": 4, COMPOSED: 4}
    with pytest.raises(InputError, match="`classes` does not: c"):
        classifier.partial_fit(X, ["c", "c", "b", "b"], classes=[COMPOSED, "b"])


def test_a_rejecting_classifier_is_scored_on_examples_of_no_class_as_well():
    x = np.repeat(10.0 * np.eye(4), 3, axis=0) + 0.1 * np.arange(12)[:, None] % 0.3
    classifier = FewShotClassifier(reject=0.05).fit(x, np.repeat(np.arange(4), 3))
    assert classifier.score(np.full((2, 4), 100.0), ["none of these"] * 2) == 1
    mixed = np.concatenate([x, np.full((2, 4), 100.0)])
    assert classifier.score(mixed, classifier.predict(mixed)) == 1, "integers beside the word that is no class"
    with pytest.raises(InputError, match="all strings or all integers"):
        classifier.score(mixed[:2], [0, "cat"])
    with pytest.raises(InputError, match="all strings or all integers"):
        classifier.fit(x[:2], [0, "none of these"])


@pytest.mark.parametrize("label", [np.int64(2), 2, 2.0, torch.tensor(2), np.uint8(2)])
def test_a_class_is_dropped_by_any_scalar_that_taught_it_and_the_file_is_written(label, tmp_path):
    classifier = FewShotClassifier().fit([*X, X[0]], [0, 0, 1, 1, 2]).drop_class(label)
    assert FewShotClassifier.load(classifier.save(tmp_path / "task.fewshot")).classes_.tolist() == [0, 1]


@pytest.mark.parametrize("label", [True, "2", [2], {2: 2}, None, np.array([1, 2]), float("nan"), b"2"])
def test_what_is_no_class_is_not_dropped(label: Any):
    classifier = FewShotClassifier().fit([*X, X[0]], [0, 0, 1, 1, 2])
    with pytest.raises(InputError, match="there is no class"):
        classifier.drop_class(label)
    assert classifier.classes_.tolist() == [0, 1, 2]


@pytest.mark.parametrize("version", ["1", 1.0, 0, 99, -1, [1]])
def test_what_is_no_version_is_refused(version):
    classifier = FewShotClassifier().fit(X, Y).add_class("c", X[:1])
    for ask in (classifier.undo, classifier.examples_at):
        with pytest.raises(InputError, match="version"):
            ask(version)


def test_a_class_is_added_from_an_iterator_and_not_from_what_is_no_list():
    rows: Any = (row for row in X)
    classifier = FewShotClassifier().fit(X, Y)
    assert classifier.add_class("c", rows).examples_["c"] == 4
    no_lists: list[Any] = [np.array(5.0), 5, None, "cat.png"]
    for wrong in no_lists:
        with pytest.raises(InputError, match=r"shape|one example|NoneType"):
            classifier.add_class("d", wrong)
    assert classifier.classes_.tolist() == ["a", "b", "c"]


def test_a_rate_of_numpy_is_a_rate(tmp_path):
    x = np.repeat(10.0 * np.eye(3), 3, axis=0) + 0.1 * np.arange(9)[:, None] % 0.3
    rates: list[Any] = [np.float64(0.05), np.float32(0.05)]
    for rate in rates:
        classifier = FewShotClassifier(reject=rate).fit(x, np.repeat(np.arange(3), 3))
        assert FewShotClassifier.load(classifier.save(tmp_path / "task.fewshot")).reject == pytest.approx(0.05)
        assert classifier.rejecting(np.float64(0.1)).show()["reject"] == pytest.approx(0.1)


@pytest.mark.parametrize("name", [5, None, b"x", ["a"], "", "\0", "x" * 5000])
def test_what_no_file_is_called_is_neither_loaded_nor_saved(name):
    with pytest.raises(InputError):
        FewShotClassifier.load(name)
    with pytest.raises(InputError):
        FewShotClassifier().fit(X, Y).save(name)
    if name is not None:
        with pytest.raises(InputError):
            FewShotClassifier(name).fit(X, Y)


def test_one_package_is_allowed_without_a_list_around_it():
    with pytest.raises(InputError, match="cannot import 'no_such_package"):
        FewShotClassifier.load("no_such_package.nets:make", allow="no_such_package")
    with pytest.raises(InputError, match=r"--allow no_such_package"):
        FewShotClassifier.load("no_such_package.nets:make", allow="no_such")
    wrong: Any = 5
    with pytest.raises(InputError, match="names of packages"):
        FewShotClassifier.load("no_such_package.nets:make", allow=wrong)


def test_times_in_lines_of_features_are_refused_as_they_are_in_an_array(tmp_path):
    path = tmp_path / "times.jsonl"
    rows = [{"features": [1.7e9 + i, i], "label": "ab"[i > 2]} for i in range(6)]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(InputError, match=r"column 0 of X .* subtract"):
        FewShotClassifier().fit_folder(path)
    huge = "1" + "0" * 400
    path.write_text(f'{{"features": [1, 2], "label": "a"}}\n{{"features": [{huge}, 2], "label": "b"}}')
    with pytest.raises(InputError, match="too large"):
        FewShotClassifier().fit_folder(path)


def test_what_is_left_out_of_preprocessing_is_as_picture_files_are_read(tmp_path):
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{i}.png" for i in range(4)]
    for i, file in enumerate(files):
        Image.fromarray((120 * (i // 2) + rng.integers(0, 60, (8, 8))).astype(np.uint8)).save(file)
    build = FewShotClassifier.of
    least = build(NearestCentroid(), {}, preprocessing={"size": 8}).fit(files, Y)
    whole = build(NearestCentroid(), {}, preprocessing={"size": 8, "channels": 1, "ink": "auto"}).fit(files, Y)
    assert np.array_equal(least.predict_proba(files), whole.predict_proba(files))
    for wrong in ({"channels": 1}, {"size": 8, "colour": True}):
        with pytest.raises(InputError, match="preprocessing says size"):
            build(NearestCentroid(), {}, preprocessing=wrong)


def test_a_compressed_table_is_called_so(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(gzip.compress(b'{"features": [1, 2], "label": "a"}'))
    with pytest.raises(InputError, match=r"compressed .*unpack"):
        FewShotClassifier().fit_folder(path)


def test_networks_that_say_odd_things_of_themselves():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    network.size, network.channels = np.int64(4), np.int64(1)  # type: ignore[assignment]
    assert Own("mine", network).features == 3
    network.channels = "grey"  # type: ignore[assignment]
    with pytest.raises(InputError, match="has channels 'grey'"):
        Own("mine", network)
    with_history = torch.nn.Linear(2, 2)
    with_history.kept = 2 * with_history.weight  # type: ignore[assignment]
    for network in (torch.nn.LazyLinear(3), with_history):
        with pytest.raises(InputError, match="cannot be copied"):
            Own("mine", network)
