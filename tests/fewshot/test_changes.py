"""Two who change one file, tables with named columns, numbers that float32 does not hold, copies of classifiers."""

import copy
import pickle
import threading

import numpy as np
import pytest
import torch
from torch import nn

from innerloop.core import files
from innerloop.core.errors import InputError
from innerloop.core.learner import mask_absent
from innerloop.core.names import printable
from innerloop.encoders.module import Own
from innerloop.fewshot import commands
from innerloop.fewshot.classifier import FewShotClassifier


def test_two_that_add_at_once_both_add(tmp_path):
    file = FewShotClassifier().fit(np.eye(4)[:2], ["a", "b"]).save(tmp_path / "t.fewshot")
    failures = []

    def add(i):
        np.savez(tmp_path / f"{i}.npz", x=np.eye(4)[[i % 4]], y=[f"c{i}"])
        try:
            commands.add(file, tmp_path / f"{i}.npz")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=add, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert {*FewShotClassifier.load(file).examples_} == {"a", "b", *(f"c{i}" for i in range(6))}
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".npz") == ["t.fewshot"]


def test_a_file_that_changed_underneath_is_not_overwritten(tmp_path):
    file = FewShotClassifier().fit(np.eye(2), ["a", "b"]).save(tmp_path / "t.fewshot")
    one, other = FewShotClassifier.load(file), FewShotClassifier.load(file)
    one.add_class("c", np.ones((1, 2))).save(file)
    other.add_class("d", np.ones((1, 2)))
    with pytest.raises(InputError, match="changed by another"):
        other.save(file)
    assert {*FewShotClassifier.load(other.save(tmp_path / "u.fewshot")).examples_} == {"a", "b", "d"}
    one.add_class("e", np.zeros((1, 2))).save(file)
    assert {*FewShotClassifier.load(file).examples_} == {"a", "b", "c", "e"}


def test_who_waits_too_long_for_a_file_is_told(tmp_path):
    path = tmp_path / "f"
    path.write_text("")
    refused = []

    def wait():
        try:
            with files.locked(path, 0.05):
                pass
        except InputError as error:
            refused.append(str(error))

    with files.locked(path), files.locked(path):
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
    assert refused and "another process" in refused[0]


def test_columns_are_held_to_their_names(tmp_path):
    frame = pytest.importorskip("pandas").DataFrame
    a, b = [0.0, 0, 9, 9], [9.0, 9, 0, 0]
    task = FewShotClassifier().fit(frame({"a": a, "b": b}), list("xxyy"))
    assert task.feature_names_in_.tolist() == ["a", "b"]
    for known in (task, FewShotClassifier.load(task.save(tmp_path / "t.fewshot"))):
        assert known.predict(frame({"a": a, "b": b})).tolist() == list("xxyy")
        assert known.predict(np.array([a, b]).T).tolist() == list("xxyy")
        with pytest.raises(InputError, match="another order"):
            known.predict(frame({"b": b, "a": a}))
        with pytest.raises(InputError, match="missing: 'b'; unseen at fit time: 'c'"):
            known.partial_fit(frame({"a": a, "c": b}), list("xxyy"))
    with pytest.raises(AttributeError):
        _ = FewShotClassifier().fit(np.eye(2), ["a", "b"]).feature_names_in_


@pytest.mark.parametrize("start", [1.7e9, -1.7e9, 1.7e12])
@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_numbers_that_float32_does_not_hold_are_refused(start, dtype):
    x = np.array([[0], [1], [10], [11], [20], [21]]).astype(dtype) + dtype(start)
    with pytest.raises(InputError, match=r"column 0 of X.*float32"):
        FewShotClassifier().fit(x, [0, 0, 1, 1, 2, 2])
    with pytest.raises(InputError, match="column 1 of X"):
        FewShotClassifier().fit(np.hstack([x * 0, x]), [0, 0, 1, 1, 2, 2])
    moved = x - dtype(start)
    assert FewShotClassifier().fit(moved, [0, 0, 1, 1, 2, 2]).predict(moved).tolist() == [0, 0, 1, 1, 2, 2]


def test_coordinates_of_a_map_are_refused_where_float32_merges_them():
    near = 52.52 + 1e-5 * np.array([[0, 3], [1, 4], [9, 1], [8, 0]])
    with pytest.raises(InputError, match="float32"):
        FewShotClassifier().fit(near, list("aabb"))
    far = np.array([[52.52, 13.4], [52.53, 13.41], [48.1, 11.5], [48.2, 11.6]])
    assert FewShotClassifier().fit(far, list("aabb")).predict(far).tolist() == list("aabb")


def test_noise_of_float64_and_equal_numbers_are_no_fault():
    x = np.eye(3).repeat(2, 0)
    noisy = np.hstack([x, 0.1 + 1e-17 * np.arange(6)[:, None], np.full((6, 1), 1.7e9 + 0.3)])
    assert FewShotClassifier().fit(noisy, list("aabbcc")).n_features_in_ == 5


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e6, 1e30])
def test_an_absent_class_never_wins(scale):
    logits = -scale * torch.tensor([[1.0, 2.0, 0.0]])
    masked = mask_absent(logits, torch.tensor([True, True, False]))
    assert masked.argmax(1).tolist() == [0] and masked.isfinite().all() and masked[0, 2] <= -1e4
    assert torch.equal(masked[:, :2], logits[:, :2])


class Halves(nn.Module):
    def forward(self, x):
        return x / 2


@pytest.mark.parametrize("make", [lambda t: pickle.loads(pickle.dumps(t)), copy.deepcopy])
def test_an_encoder_of_ones_own_is_copied_with_its_classifier(make):
    encoder = make(Own("halves", Halves()))
    assert torch.equal(encoder.encode(torch.ones(1, 2)), torch.full((1, 2), 0.5))


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a\rb", "a\u202eb", "a\ud83db", "a\nb"])
def test_names_are_shown_without_what_acts(name):
    shown = printable(name)
    assert shown.isprintable() and shown.startswith("a\\") and shown.endswith("b")
    assert printable("café \u732b \U0001f600") == "café \u732b \U0001f600"
