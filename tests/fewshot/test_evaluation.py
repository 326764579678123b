"""How good a task is, on other examples and on its own, and the examples that are nearest to one."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.types import Batch
from innerloop.encoders.module import Own
from innerloop.fewshot import asking, commands
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.evaluation import cross_validate, evaluate
from innerloop.fewshot.sources import source
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.mlp import MLP

CENTRES = 2.2 * np.random.default_rng(0).normal(size=(6, 8))


def drawn(classes, count, seed=1, names="abcdef"):
    g = np.random.default_rng(seed)
    y = np.repeat(classes, count)
    return (CENTRES[y] + g.normal(size=(len(y), 8))).astype(np.float32), np.array(list(names))[y]


def flipped(count=40, flips=12, seed=3):
    """Examples of six classes of which some have the label of another class, and which those are."""
    x, y = drawn(range(6), count)
    wrong = np.random.default_rng(seed).choice(len(y), flips, replace=False)
    y[wrong] = [chr(97 + (ord(label) - 97 + 1 + i % 5) % 6) for i, label in enumerate(y[wrong])]
    return x, y, {tuple(x[i]) for i in wrong}


def taught(count=6, reject=None, classes=(0, 1, 2, 3)):
    return FewShotClassifier(reject=reject).fit(*drawn(list(classes), count))


def test_numbers_are_those_of_predict():
    metrics = pytest.importorskip("sklearn.metrics")
    classifier = taught(3)
    x, y = drawn([0, 1, 2, 3], 25, seed=2)
    x += 1.2 * np.random.default_rng(9).normal(size=x.shape).astype(np.float32)
    result = evaluate(classifier, x, y)
    answers, p = classifier.predict(x), classifier.predict_proba(x)
    assert 0.6 < result.accuracy.value < 1
    assert result.accuracy.value == classifier.score(x, y) and result.accuracy.of == 100
    report = metrics.classification_report(y, answers, output_dict=True)
    assert result.macro.f1 == pytest.approx(report["macro avg"]["f1-score"])
    assert result.weighted.f1 == pytest.approx(report["weighted avg"]["f1-score"])
    for name, score in result.per_class.items():
        assert score.precision == pytest.approx(report[name]["precision"])
    assert result.nll == pytest.approx(metrics.log_loss(y, p))
    assert np.array_equal(result.confusion.numpy()[:, :4], metrics.confusion_matrix(y, answers))
    assert result.wrong == (answers != y).sum() and len(result.errors) == min(result.wrong, 20)
    against = [e.probability / (e.probability_of_truth or 1) for e in result.errors]
    assert against == sorted(against, reverse=True)
    worst = result.errors[0]
    row = int(worst.example.removeprefix("example ")) - 1
    assert worst.truth == y[row] != worst.answer == answers[row]
    assert worst.probability == pytest.approx(p[row].max())
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["accuracy"]["of"] == 100


def test_strangers_are_counted_apart():
    x, y = drawn([0, 1, 2, 3, 4, 5], 20, seed=3)
    plain, refusing = evaluate(taught(8), x, y), evaluate(taught(8, reject=0.1), x, y)
    assert plain.accuracy.of == refusing.accuracy.of == 80
    assert plain.let_through.value == 1 and all(error.known for error in plain.errors)
    accepted = taught(8, reject=0.1).accepts(x)
    assert refusing.let_through.count == accepted[80:].sum() and refusing.let_through.of == 40
    assert refusing.strangers["e"].count == accepted[80:100].sum()
    assert refusing.coverage.count == accepted[:80].sum()
    assert refusing.answered.count == refusing.accuracy.count and refusing.answered.of == refusing.coverage.count
    assert refusing.forced.value == plain.accuracy.value and refusing.forced.of == 80
    assert refusing.confusion[:, -1].sum() == 80 - refusing.coverage.count
    assert sum(not error.known for error in refusing.errors) == min(refusing.let_through.count, len(refusing.errors))
    assert refusing.wrong == 80 - refusing.accuracy.count - (80 - refusing.coverage.count) + refusing.let_through.count


def test_cross_validation_asks_each_example_after_learning_from_the_others():
    x, y = drawn([0, 1, 2], 4)
    x = np.concatenate([x, x[:1] + 0.01])
    y = np.concatenate([y, ["z"]])  # one of a kind, next to an "a"
    classifier = FewShotClassifier().fit(x, y)
    result = cross_validate(classifier, folds=4)
    assert result.accuracy.of == 12 and result.folds == 4 and "z" in result.notes[0]
    expected = []
    for fold in range(4):
        held = [i for i in range(12) if i % 4 == fold]
        kept = [i for i in range(13) if i not in held]
        one = FewShotClassifier().fit(x[kept], y[kept])
        expected += list(zip(held, one.predict(x[held]), one.predict_proba(x[held]), strict=True))
    expected.sort(key=lambda entry: entry[0])
    names = np.array(result.classes)
    assert names[result.answers.numpy()].tolist() == [answer for _, answer, _ in expected]
    assert result.probabilities.numpy() == pytest.approx(np.stack([p for _, _, p in expected]))
    assert "a #1" in [error.example for error in result.errors if error.answer == "z"]
    assert classifier.history[-1].version == 1  # what was evaluated is as it was


def test_cross_validation_is_of_the_present_version():
    classifier = taught(5)
    classifier.drop_class("d").add(*drawn([0], 2, seed=5))
    result = cross_validate(classifier)
    assert result.accuracy.of == 17 and result.classes == ("a", "b", "c")
    again = cross_validate(classifier)
    assert torch.equal(result.probabilities, again.probabilities)


def test_a_threshold_that_a_fold_cannot_set_is_left_out_and_told():
    few = FewShotClassifier(reject=0.2).fit(*drawn([0, 1, 2], 2))
    result = cross_validate(few)
    assert result.reject is None and "none of these" in result.notes[0] and result.coverage.value == 1
    many = cross_validate(taught(6, reject=0.2))
    assert many.reject == 0.2 and not many.notes


def test_the_nearest_examples_are_those_at_hand():
    x, y = drawn([0, 1, 2], 4)
    classifier = FewShotClassifier().fit(x, y)
    asked = x[[5, 0]] + 0.001
    first, second = classifier.explain(asked, 2)
    assert (first[0].label, first[0].number) == ("b", 2) and (second[0].label, second[0].number) == ("a", 1)
    expected = np.sort(np.linalg.norm(x - asked[0], axis=1))[:2]
    assert [one.distance for one in first] == pytest.approx(expected, rel=1e-5)
    assert len(classifier.explain(asked, 50)[0]) == 12
    # After a class is gone, only what is still taught is near, under the numbers of the present version.
    classifier.drop_class("b").add_class("a", asked[:1])
    assert [(one.label, one.number) for one in classifier.explain(asked[:1], 1)[0]] == [("a", 5)]


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "3"])
def test_a_number_of_examples_that_is_none_is_refused(n):
    with pytest.raises(InputError, match="nearest examples"):
        taught().explain(drawn([0], 1)[0], n)


def test_directions_decide_behind_a_frozen_encoder():
    own = Own("m:f", torch.nn.Linear(8, 4, bias=False))
    x, y = drawn([0, 1], 3)
    frozen = replace(source(None), encoder=own, learner=NearestCentroid(distance="cosine"))
    classifier = FewShotClassifier(frozen).fit(x, y)
    longer = classifier.explain(3 * x[:1], 1)[0][0]
    assert (longer.label, longer.number, longer.distance) == ("a", 1, pytest.approx(0, abs=1e-5))


def test_a_run_compares_what_its_encoder_sees():
    class Second(torch.nn.Module):
        """Sees the second number alone."""

        def forward(self, x):
            return x[:, 1:2]

    classifier = FewShotClassifier.of(ProtoNet(encoder=Module(Second)), {})
    x = np.array([[0, 0], [100, 1], [0, 5], [100, 6]], np.float32)
    classifier.fit(x, ["a", "a", "b", "b"])
    (near,) = classifier.explain(np.array([[0, 1.1]], np.float32), 2)
    assert [(one.label, one.number) for one in near] == [("a", 2), ("a", 1)]
    assert near[0].distance == pytest.approx(0.1, abs=1e-4)


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (np.zeros((0, 8), np.float32), [], "holds no example"),
        (drawn([0], 3)[0], ["a"] * 3, "'a' alone"),
        (drawn([4], 3)[0], ["e", "f", "e"], "knows none of the classes"),
        (np.zeros((2, 5), np.float32), ["a", "b"], "8 features"),
        (drawn([0], 3)[0], ["a", "b"], "one label for each"),
    ],
)
def test_examples_that_say_nothing_are_refused(x, y, says):
    with pytest.raises(InputError, match=says):
        evaluate(taught(), x, y)


def test_too_few_of_its_own_are_refused():
    for x, y in ((np.eye(2), ["a", "b"]), (np.eye(3), ["a", "a", "b"])):
        with pytest.raises(InputError, match="2 examples of at least 2 classes"):
            cross_validate(FewShotClassifier().fit(x, y))
    for folds in (1, True, 2.5):
        with pytest.raises(InputError, match="2 or more folds"):
            cross_validate(taught(), folds=folds)  # pyright: ignore[reportArgumentType]


def test_words_name_classes_that_are_numbers(tmp_path):
    x, _ = drawn([0, 1, 2], 4)
    classifier = FewShotClassifier().fit(x, np.repeat([10, 20, 30], 4))
    assert evaluate(classifier, x, np.repeat(["10", "20", "x"], 4).tolist()).accuracy.of == 8
    assert evaluate(classifier, x, np.repeat([10, 20, 40], 4)).strangers["40"].of == 4


def test_a_table_of_pandas_is_asked_in_parts(monkeypatch):
    pandas = pytest.importorskip("pandas")
    monkeypatch.setattr("innerloop.fewshot.evaluation._CHUNK", 7)
    x, y = drawn([0, 1, 2, 3], 6)
    frame = pandas.DataFrame(x, columns=list("pqrstuvw"))
    classifier = FewShotClassifier().fit(frame, y)
    steps = []
    result = evaluate(classifier, frame, y, progress=lambda done, total: steps.append((done, total)))
    assert result.accuracy.of == 24 and steps == [(7, 24), (14, 24), (21, 24), (24, 24)]
    assert torch.equal(result.probabilities, evaluate(classifier, x, y).probabilities)


def test_a_file_is_evaluated_and_left_as_it_is(tmp_path):
    file = taught().save(tmp_path / "t.fewshot")
    before = file.read_bytes()
    x, y = drawn([0, 1, 2, 3], 5, seed=4)
    np.savez(tmp_path / "ask.npz", x=x, y=y)
    result = asking.evaluate(file, tmp_path / "ask.npz")
    assert result.accuracy.of == 20 and "ask.npz" in result.method
    assert asking.evaluate(file).folds == 5 and file.read_bytes() == before


def test_a_learner_with_inner_steps_learns_anew_for_every_fold():
    supports: list[int] = []

    class Counting(MAML):
        def adapt(self, params, support: Batch):
            supports.append(len(support.y))
            return super().adapt(params, support)

    learner = Counting(model=MLP(inputs=8, hidden=(8,), outputs=3), inner_steps=2)
    classifier = FewShotClassifier.of(learner, learner.init(0)).fit(*drawn([0, 1, 2], 4))
    supports.clear()
    cross_validate(classifier, folds=2)
    assert supports.count(6) == 2 and 12 not in supports


def test_examples_that_were_taught_are_told_of():
    classifier = taught(5)
    x, y = drawn([0, 1, 2, 3], 5)
    others, labels = drawn([0, 1, 2, 3], 5, seed=8)
    assert not evaluate(classifier, others, labels).notes
    assert evaluate(classifier, x, y).notes[0].startswith("20 of them are among the examples that it was taught")
    one = evaluate(classifier, np.concatenate([others, x[:1]]), [*labels, y[0]])
    assert one.notes[0].startswith("1 of them is among")
    classifier.drop_class("d")  # what it no longer knows is nothing that it was taught
    assert evaluate(classifier, x, y).notes[0].startswith("15 of them")


def test_wrong_labels_come_first():
    x, y, wrong = flipped()
    classifier = FewShotClassifier().fit(x, y)
    result = cross_validate(classifier)
    members = classifier.task.history.members()
    rows = [members[e.truth][(e.number or 0) - 1] for e in result.errors]
    first = {tuple(classifier.task.rows[row].tolist()) for row in rows[: len(y) // 10]}
    assert len(result.errors) >= len(y) // 10 or len(result.errors) == result.wrong
    assert len(first & wrong) >= 0.8 * len(wrong)


def test_examples_that_were_taught_twice_are_said(tmp_path):
    x, y = drawn([0, 1, 2], 4)
    x[3], x[6] = x[1], x[9]  # two of a, one of b and c
    np.savez(tmp_path / "d.npz", x=x, y=y)
    allowed = Context(allow=("torch",))
    with pytest.warns(UserWarning, match="taught more than once: a #2 = a #4"):
        result = commands.adapt("torch.nn:Identity", tmp_path / "d.npz", tmp_path / "t.fewshot", context=allowed)
    assert result["repeats"][1].startswith("1 example was taught as different classes")
    np.savez(tmp_path / "more.npz", x=x[[0, 0]], y=y[[0, 11]])
    with pytest.warns(UserWarning, match="a #1 = a #5 = c #5"):
        commands.add(tmp_path / "t.fewshot", tmp_path / "more.npz", allowed)
    notes = asking.evaluate(tmp_path / "t.fewshot", context=allowed).notes
    assert "2 examples were taught as different classes" in " ".join(notes)
    np.savez(tmp_path / "new.npz", x=x[:1] + 1, y=y[:1])
    assert (
        commands.add(tmp_path / "t.fewshot", tmp_path / "new.npz", allowed)["repeats"] == []
    )  # what was said is not said again
