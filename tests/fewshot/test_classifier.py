import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.encoders.base import Kind
from innerloop.fewshot.classifier import NONE, FewShotClassifier, Rows
from innerloop.fewshot.foreign import BANK
from innerloop.fewshot.sources import Source
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.runs import build
from tests.problems import classifiers
from tests.runs.test_build import small

WAYS = 3


def options(name):
    usual = small(name, steps=1)
    return replace(usual, task=replace(usual.task, ways=WAYS))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run folder of every learner, made when first asked for."""
    root = tmp_path_factory.mktemp("runs")

    def make(name):
        if not (root / name).exists():
            build(options(name)).meta_train(root / name)
        return root / name

    return make


@pytest.fixture(scope="module")
def digits():
    splits = build(options("protonet")).splits
    assert splits is not None
    pool = splits.test
    x = torch.cat([pool.data[0, :1], pool.data[1, :3], pool.data[2, :2]])
    return x.numpy(), ["seven", "eight", "eight", "eight", "nine", "nine"], pool.data[:, 10:14].flatten(0, 1).numpy()


@pytest.mark.parametrize("name", classifiers())
@pytest.mark.exact
def test_every_learner_fits_predicts_and_comes_back_from_its_file(name, runs, digits, tmp_path):
    x, y, new = digits
    fitted = FewShotClassifier.load(runs(name)).fit(x, y)
    assert fitted.classes_.tolist() == ["eight", "nine", "seven"]
    assert fitted.examples_ == {"seven": 1, "eight": 3, "nine": 2}
    p = fitted.predict_proba(new)
    assert p.shape == (12, 3) and np.allclose(p.sum(1), 1)
    assert (fitted.predict(new) == fitted.classes_[p.argmax(1)]).all()
    for i in range(len(new)):
        assert fitted.predict(new[i : i + 1]) == fitted.predict(new)[i], "one answer does not depend on the others"
    task, rows = fitted._fitted(), torch.tensor(new)
    z, alone = task.logits(rows), torch.cat([task.logits(row[None]) for row in rows])
    assert (z - alone).abs().max() <= 2**-13 * z.abs().max(), "nor a logit, but for rounding"

    again = FewShotClassifier.load(fitted.save(tmp_path / "t.fewshot"))
    assert np.array_equal(again.predict_proba(new), p)
    assert again.classes_.tolist() == fitted.classes_.tolist() and again.examples_ == fitted.examples_
    assert np.array_equal(FewShotClassifier.load(again.save(tmp_path / "u.fewshot")).predict_proba(new), p)


def test_what_goes_in(runs, digits):
    x, _, new = digits
    classifier = FewShotClassifier.load(runs("protonet")).fit(x, [0, 1, 1, 1, 2, 2])
    p = classifier.predict_proba(new)
    assert classifier.predict(new).dtype.kind == "i"
    for same in (torch.from_numpy(new), new / 255, (new / 255).astype(np.float64), new[:, 0], list(new)):
        assert np.allclose(classifier.predict_proba(same), p, atol=1e-6)
    assert classifier.predict_proba(new[:0]).shape == (0, 3)


def test_pictures(runs, digits, tmp_path):
    from PIL import Image

    x, y, new = digits
    paths = []
    for i, row in enumerate(x):
        paths.append(tmp_path / "dark" / y[i] / f"{i}.png")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - row[0]).save(paths[-1])
    arrays = FewShotClassifier.load(runs("protonet")).fit(x, y)
    files = FewShotClassifier.load(runs("protonet")).fit(paths, y)
    folder = FewShotClassifier.load(runs("protonet")).fit_folder(tmp_path / "dark")
    folder = FewShotClassifier.load(folder.save(tmp_path / "f"))
    for classifier in (files, folder):
        assert np.allclose(classifier.predict_proba(new), arrays.predict_proba(new), atol=1e-6)
        assert np.allclose(classifier.predict_proba([str(paths[0])]), arrays.predict_proba(x[:1]), atol=1e-6)
        content = paths[0].read_bytes()
        assert np.allclose(classifier.predict_proba([content]), arrays.predict_proba(x[:1]), atol=1e-6)
        assert classifier.rows(paths).shape == (6, 1, 8, 8) and float(classifier.rows(paths).max()) <= 1


def test_a_network_with_more_outputs_answers_among_the_classes_there_are(runs, digits):
    x, _, new = digits
    classifier = FewShotClassifier.load(runs("maml")).fit(x[:4], ["a", "b", "b", "b"])
    p = classifier.predict_proba(new)
    assert p.shape == (12, 2) and np.allclose(p.sum(1), 1)


def test_what_cannot_be(runs, digits, tmp_path):
    x, y, new = digits
    maml, protonet = FewShotClassifier.load(runs("maml")), FewShotClassifier.load(runs("protonet"))
    with pytest.raises(InputError, match=r"tell 3 classes apart, and these are 4.*protonet"):
        maml.fit(x, [0, 1, 2, 3, 3, 3])
    protonet.fit(x, [0, 1, 2, 3, 3, 3])
    examples: list[tuple[Any, str]] = [
        (x[:, :, :4], "shape"),
        (x[0, 0], "shape"),
        (x.astype(np.float32), "divide by 255"),
        (np.where(x > 9, np.nan, x / 255), "NaN"),
        ("folder", "one example"),
        (b"content", "one example"),
        ([str(tmp_path / "none.png")], "none.png"),
        (["a", 1], "mixes texts or paths with int"),
        ([[1, 2], [3]], "array of numbers"),
        (np.zeros((6, 0)), "shape"),
    ]
    for wrong, message in examples:
        with pytest.raises(InputError, match=message):
            protonet.fit(wrong, y[: len(wrong)])
    labellings: list[tuple[Any, str]] = [
        (y[:2], "one label"),
        ([0] * 6, "at least 2"),
        (np.linspace(0, 1, 6), "fractions"),
        ([0, 1, "a", 0, 1, 1], "Unknown label type|all strings"),
        (None, "y is None"),
        ([None] * 6, "contains NaN or nothing"),
        ([0.0, 1.0, np.nan, 1, 1, 1], "NaN"),
    ]
    for labels, message in labellings:
        with pytest.raises(InputError, match=message):
            protonet.fit(x, labels)
    assert len(protonet.classes_) == 4, "a refused fit leaves what was known"
    unfitted = FewShotClassifier.load(runs("protonet"))
    for ask in (
        lambda: unfitted.predict(new),
        lambda: unfitted.save(tmp_path / "f"),
        lambda: unfitted.undo(),
        lambda: unfitted.drop_class("a"),
        lambda: unfitted.history,
    ):
        with pytest.raises(InputError, match="call fit first"):
            ask()
    assert not (tmp_path / "f").exists()


def corners(counts, seed=0, spread=0.5):
    """Rows around far corners, with the names a, b, c, ... of their classes."""
    g = np.random.default_rng(seed)
    centres = 4 * np.random.default_rng(100).normal(size=(26, 12))
    y = np.repeat(np.arange(len(counts)), counts)
    x = centres[y] + spread * g.normal(size=(len(y), 12))
    return x.astype(np.float32), np.array([chr(97 + i) for i in y])


@pytest.mark.exact
def test_more_examples_are_the_same_as_all_at_once(runs, digits):
    x, y, new = digits
    for name in ("protonet", "maml", "gaussian_memory", "r2d2"):
        once = FewShotClassifier.load(runs(name)).fit(x, y)
        order = np.argsort(y, kind="stable")  # so that each part has two classes at least
        parts = FewShotClassifier.load(runs(name)).partial_fit(x[[0, 1, 2]], [y[0], y[1], y[2]])
        parts.partial_fit(x[3:4], y[3:4]).add_class("nine", x[4:])
        assert len(order) == 6 and parts.examples_ == once.examples_
        assert np.array_equal(parts.predict_proba(new), once.predict_proba(new))


@pytest.mark.exact
def test_classes_come_and_go_and_come_back():
    x, y = corners([3, 3, 3, 3])
    task = FewShotClassifier().fit(x[:9], y[:9])
    first = task.predict_proba(x)
    task.add_class("d", x[9:])
    assert task.classes_.tolist() == list("abcd") and task.score(x, y) == 1
    task.drop_class("b")
    assert task.classes_.tolist() == list("acd") and set(task.predict(x)) == set("acd")
    task.undo().undo()
    assert np.array_equal(task.predict_proba(x), first) and task.examples_ == {"a": 3, "b": 3, "c": 3}
    task.redo().redo()
    assert task.classes_.tolist() == list("acd")
    task.undo(to=2)
    assert task.score(x, y) == 1
    said = [v.action for v in task.history]
    assert said == ["fit", "add d", "drop b", "undo", "undo", "redo", "redo", "back to 2"]
    assert task.examples_at(3) == {"a": 3, "c": 3, "d": 3}
    assert len(task.fit(x, y).history) == 1, "fit begins anew"


def test_a_refused_change_leaves_everything_as_it_was():
    x, y = corners([3, 3, 3])
    task = FewShotClassifier().fit(x, y)
    before, versions = task.predict_proba(x), task.history
    task.drop_class("c").undo()
    versions = task.history
    for change, says in (
        (lambda: task.drop_class("z"), "no class 'z'"),
        (lambda: task.add_class("d", x[:0]), "0 sample"),
        (lambda: task.add_class("d", np.full((1, 12), np.nan)), "NaN"),
        (lambda: task.add_class("d", np.zeros((1, 4))), "4 features"),
        (lambda: task.add_class(7, x[:1]), "both"),
        (lambda: task.partial_fit(x, y[:2]), "one label"),
        (lambda: task.partial_fit(x, y, classes=["a", "b"]), "`classes` does not: c"),
        (lambda: task.undo(to=9), "there are 1 to 3"),
    ):
        with pytest.raises(InputError, match=says):
            change()
        assert np.array_equal(task.predict_proba(x), before) and task.history == versions
    with pytest.raises(InputError, match="at least 2"):
        task.drop_class("c").drop_class("b")


def test_a_fixed_head_says_who_takes_more_classes(runs, digits):
    x, y, _ = digits
    task = FewShotClassifier.load(runs("maml")).fit(x, y)
    with pytest.raises(InputError, match=r"tell 3 classes apart, and these are 4.*protonet"):
        task.add_class("ten", x[:1])
    assert len(task.classes_) == 3
    task.drop_class("nine").add_class("ten", x[:1])
    assert task.classes_.tolist() == ["eight", "seven", "ten"]


def test_none_of_these():
    x, y = corners([6] * 5)
    task = FewShotClassifier(reject=0.05).fit(x, y)
    found = task.calibration_
    assert found.coverage is not None and found.auroc is not None
    assert found.target == 0.05 and found.coverage > 0.9 and found.auroc > 0.98
    known, _ = corners([40] * 5, seed=1)
    foreign = corners([40] * 9, seed=2)[0][200:]
    assert task.accepts(known).mean() > 0.9 and task.accepts(foreign).mean() < 0.1
    said = task.predict(np.concatenate([known, foreign]))
    assert said.dtype.kind == "U" and ((said == NONE) == ~task.accepts(np.concatenate([known, foreign]))).all()
    assert np.allclose(task.predict_proba(foreign).sum(1), 1)
    plain = task.rejecting(None)
    assert plain.accepts(foreign).all() and NONE not in plain.predict(foreign) and task.reject == 0.05
    numbers = FewShotClassifier(reject=0.05).fit(x, np.repeat(np.arange(5), 6))
    assert numbers.predict(known)[0] == 0 and numbers.predict(foreign).tolist().count(NONE) > 100
    with pytest.raises(InputError, match="call that class otherwise"):
        FewShotClassifier(reject=0.05).fit(x, np.where(y == "a", NONE, y))
    rates: tuple[Any, ...] = (0, 1, "0.05", float("nan"))
    for reject in rates:
        with pytest.raises(InputError, match="false-accept rate"):
            FewShotClassifier(reject=reject).fit(x, y)


@pytest.mark.exact
def test_rejection_survives_the_file_and_follows_the_classes(tmp_path):
    x, y = corners([6] * 5)
    task = FewShotClassifier(reject=0.1).fit(x, y)
    again = FewShotClassifier.load(task.save(tmp_path / "t.fewshot"))
    assert again.calibration_ == task.calibration_ and again.reject == 0.1
    assert np.array_equal(again.accepts(x + 1), task.accepts(x + 1))
    again.drop_class("e")
    assert again.calibration_ != task.calibration_ and not again.accepts(x[24:]).any()


def test_temperature_makes_distances_into_probabilities():
    x, y = corners([20] * 4, spread=8.0)
    task = FewShotClassifier().fit(x, y)
    assert task.calibration_.source == "held-out support"
    fresh, truth = corners([200] * 4, seed=5, spread=8.0)
    p = task.predict_proba(fresh)
    gap = abs(p.max(1).mean() - (task.classes_[p.argmax(1)] == truth).mean())
    assert gap < 0.06 and task.calibration_.ece is not None and task.calibration_.ece < 0.2


class Letters:
    """An encoder that counts letters; it notes how often it was asked."""

    kind: Kind = "texts"
    features = 26

    def __init__(self):
        self.asked = 0

    def encode(self, examples):
        self.asked += len(examples)
        return torch.tensor([[float(text.count(chr(97 + i))) for i in range(26)] for text in examples])


def test_a_frozen_encoder_runs_once_an_example(tmp_path):
    encoder = Letters()
    source = Source(
        name="letters",
        learner=NearestCentroid(distance="cosine"),
        params={},
        kind="texts",
        shape=(26,),
        encoder=encoder,
    )
    task = FewShotClassifier(source, reject=0.2).fit(["aab", "abb", "xyz", "zzy", "mno", "nnm"], list("ppqqrr"))
    assert encoder.asked == 6 + len((BANK / "sentences.txt").read_text(encoding="utf-8").splitlines())
    encoder.asked = 6  # strangers are read once as well
    assert task.predict(["ba", "zx"]).tolist() == ["p", "q"] and encoder.asked == 8
    rows = task.rows(["ab", "yz"])
    assert task.predict(rows).tolist() == task.predict(Rows(rows)).tolist() == ["p", "q"] and encoder.asked == 10
    assert task.predict(np.array(["ab", "yz"])).tolist() == ["p", "q"]
    task.add_class("s", ["klk", "lkl"]).drop_class("q").undo()
    assert encoder.asked == 14, "what is known is kept as rows"
    with pytest.raises(InputError, match="26 features"):
        task.predict(np.zeros((1, 3)))
    with pytest.raises(InputError, match="one example"):
        task.predict("ab")


def test_an_encoder_of_arrays_takes_rows_only_by_that_name():
    class Doubled:
        kind: Kind = "features"
        features = 12

        def encode(self, examples):
            return 2 * torch.as_tensor(np.asarray(examples)).float()

    source = Source(name="own", learner=NearestCentroid(), params={}, kind="features", shape=(12,), encoder=Doubled())
    x, y = corners([3, 3])
    task = FewShotClassifier(source).fit(x, y)
    assert np.array_equal(task.rows(x).numpy(), 2 * x)
    assert np.array_equal(task.predict_proba(x), task.predict_proba(Rows(task.rows(x))))
    with pytest.raises(InputError, match="takes arrays of numbers"):
        task.predict(["a.png"])


@pytest.mark.exact
def test_threads_with_different_tasks_answer_as_one_thread_does(runs, digits):
    """Also while a task is being changed: an answer is of one version or the other, never of a mixture."""
    x, y, new = digits
    tasks = [
        FewShotClassifier.load(runs(name)).fit(x, np.roll(y, i)) for i in range(2) for name in ("protonet", "maml")
    ]
    x2, y2 = corners([5] * 6)
    moving = FewShotClassifier(reject=0.05).fit(x2[:25], y2[:25])
    with_f = FewShotClassifier(reject=0.05).fit(x2, y2).answers(x2)
    without = moving.answers(x2)
    expected = [task.predict_proba(new) for task in tasks]
    wrong, done = [], threading.Event()

    def ask(i):
        while not done.is_set():
            if not np.array_equal(tasks[i % 4].predict_proba(new), expected[i % 4]):
                wrong.append(i)
            found = moving.answers(x2)
            if not any(all(map(np.array_equal, found, version)) for version in (with_f, without)):
                wrong.append("mixed")

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        moving.add_class("f", x2[25:]).drop_class("f")
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
