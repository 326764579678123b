"""Names of classes as examples: when they are learned from, and that a task keeps them wherever it goes."""

import json
import zlib
from dataclasses import replace

import pytest
import torch
from torch import nn

from innerloop.cli import main as cli
from innerloop.core.errors import InputError
from innerloop.encoders.base import Kind
from innerloop.encoders.module import Own
from innerloop.fewshot import class_names, export, file
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.evaluation import cross_validate, evaluate
from innerloop.fewshot.settings import Names
from innerloop.fewshot.sources import Source
from innerloop.fewshot.suggestions import suggest
from innerloop.learners.baselines.nearest_centroid import NearestCentroid

WIDTH = 64
TOPICS = ("refund", "delivery time", "openingHours", "card_payment", "gift voucher", "lost password")
ENCODER = "tests.fewshot.test_class_names:Words"


class Words(nn.Module):
    """Features of a text: which words it has, each as a direction of its own."""

    kind: Kind = "texts"

    def forward(self, texts: list[str]) -> torch.Tensor:
        rows = torch.zeros(len(texts), WIDTH)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                g = torch.Generator().manual_seed(zlib.crc32(word.encode()))
                row += torch.randn(WIDTH, generator=g)
        return rows


def source(names: Names | None = "auto") -> Source:
    return Source(
        name="words",
        learner=NearestCentroid(distance="cosine"),
        params={},
        kind="texts",
        shape=(WIDTH,),
        encoder=Own("words", Words()),
        head="auto",
        names=names,
    )


def sentences(shots: int, first: int = 0, noise: int = 6) -> tuple[list[str], list[str]]:
    """Of every topic: its first word among so many others."""
    pairs = [
        (" ".join([class_names.words(topic).split()[0], *(f"w{i}{topic[0]}{j}" for j in range(noise))]), topic)
        for topic in TOPICS
        for i in range(first, first + shots)
    ]
    return [text for text, _ in pairs], [label for _, label in pairs]


def nameless(labels: list[str]) -> list[str]:
    return [f"class {TOPICS.index(label)}" for label in labels]


def test_names_are_read_as_people_say_them():
    assert class_names.words("card_payment-fee") == "card payment fee"
    assert class_names.words("openingHours") == "opening Hours"
    assert class_names.words("iPhone") == "iPhone" and class_names.words("ATM support") == "ATM support"
    assert class_names.words("__") == "__"


def test_one_example_and_a_name_answer_better_than_one_example():
    x, y = sentences(1)
    others, truth = sentences(20, 100)
    with_names = FewShotClassifier(source()).fit(x, y)
    without = FewShotClassifier(source(), names="off").fit(x, y)
    assert with_names.show()["names"]["used"] and without.show()["names"] is None
    assert with_names.score(others, truth) > without.score(others, truth) + 0.1
    assert with_names.examples_ == without.examples_ == dict.fromkeys(TOPICS, 1), "a name is no example"


@pytest.mark.parametrize("shots", [1, 4])
def test_names_that_mean_nothing_are_not_learned_from(shots):
    x, y = sentences(shots)
    on, off = (FewShotClassifier(source(), names=names).fit(x, nameless(y)) for names in ("auto", "off"))
    about = on.show()["names"]
    assert not about["used"] and "not learned from" in about["reason"] and about["examples"] == len(x)
    others, _ = sentences(5, 50)
    assert (on.predict_proba(others) == off.predict_proba(others)).all(), "exactly as without them"
    assert FewShotClassifier(source(), names="on").fit(x, nameless(y)).show()["names"]["used"]


def test_names_that_found_their_class_are_left_out_where_held_out_examples_say_that_they_cost():
    x, y = sentences(6, noise=1)
    about = FewShotClassifier(source()).fit(x, y).show()["names"]
    assert about["accuracy"][1] >= about["accuracy"][0] and about["used"]
    # Half of the classes are called as the next one.
    turned: dict[str, str] = dict(zip(TOPICS[:4], (*TOPICS[1:4], TOPICS[0]), strict=True))
    wrong = FewShotClassifier(source(), names="auto").fit(x, [turned.get(label, label) for label in y])
    assert not wrong.show()["names"]["used"]


def test_classes_are_learned_from_names_alone_and_then_from_examples(tmp_path):
    classifier = FewShotClassifier(source(), descriptions={"refund": "money back"}).fit_names(TOPICS)
    assert classifier.predict(["delivery", "some money"]).tolist() == ["delivery time", "refund"]
    assert classifier.examples_ == dict.fromkeys(TOPICS, 0) and classifier.n_features_in_ == WIDTH
    assert "6 classes have no example" in classifier.show()["names"]["reason"]
    assert classifier.explain(["delivery"]) == [[]]
    assert {one.index for one in suggest(classifier, ["delivery", "refund money", "w1 w2"], 1)} <= {0, 1, 2}
    assert evaluate(classifier, ["delivery time", "refund money back"], ["delivery time", "refund"]).accuracy.value == 1
    alone = classifier.predict_proba(["delivery"])
    x, y = sentences(2)
    classifier.add(x, y).add_names(["complaint"])
    assert classifier.examples_ == dict.fromkeys(TOPICS, 2) | {"complaint": 0}
    assert [version.action for version in classifier.history][::2] == [
        "name refund, delivery time, openingHours and 3 more",
        "name complaint",
    ]
    assert classifier.drop_class("complaint").undo().predict(["complaint"]).tolist() == ["complaint"]
    assert (classifier.undo(1).predict_proba(["delivery"]) == alone).all()
    with pytest.raises(InputError, match="already"):
        classifier.add_names(["refund"])


def test_a_version_is_a_function_of_its_examples_and_names():
    x, y = sentences(3)
    at_once = FewShotClassifier(source()).fit(x, y)
    bit_by_bit = FewShotClassifier(source()).fit(x[:9], y[:9]).add(x[9:], y[9:])
    others, _ = sentences(4, 30)
    assert (at_once.predict_proba(others) == bit_by_bit.predict_proba(others)).all()
    assert at_once.show()["names"] == bit_by_bit.show()["names"]


@pytest.mark.parametrize("shots", [0, 2])
def test_a_file_keeps_names(shots, tmp_path):
    classifier = FewShotClassifier(source(), descriptions={"refund": "money back"}).fit_names(TOPICS)
    if shots:
        classifier.add(*sentences(shots))
    path = classifier.save(tmp_path / "t.fewshot")
    task = file.read(path, encoder=lambda name: source().encoder)
    back = FewShotClassifier(source()).holding(task)
    others, _ = sentences(3, 40)
    assert (back.predict_proba(others) == classifier.predict_proba(others)).all()
    assert back.show() == classifier.show() and dict(task.source.descriptions) == {"refund": "money back"}
    x, y = sentences(1, 60)
    assert (back.add(x, y).predict_proba(others) == classifier.add(x, y).predict_proba(others)).all()


def test_a_damaged_file_is_refused(tmp_path):
    classifier = FewShotClassifier(source()).fit_names(TOPICS)
    task = classifier.task
    assert task.named is not None
    for named in (task.named._replace(labels=TOPICS[:-1]), task.named._replace(rows=task.named.rows[:, 1:])):
        file.write(tmp_path / "t.fewshot", replace(task, named=named))
        with pytest.raises(InputError, match="damaged"):
            file.read(tmp_path / "t.fewshot", encoder=lambda name: source().encoder)


def test_files_without_names_stay_without(tmp_path):
    x, y = sentences(2)
    path = FewShotClassifier(source(names=None)).fit(x, y).save(tmp_path / "t.fewshot")
    task = file.read(path, encoder=lambda name: source().encoder)
    assert FewShotClassifier(source(names=None)).holding(task).add(*sentences(1, 9)).show()["names"] is None


def test_names_alone_can_be_exported(tmp_path):
    task = FewShotClassifier(source()).fit_names(TOPICS).task
    assert export.export(task, tmp_path / "t.pt2").checked.difference < 1e-5


def test_calibration_and_evaluation_ask_about_examples_alone():
    x, y = sentences(4)
    classifier = FewShotClassifier(source(), names="on", reject=0.1).fit(x, y)
    assert classifier.calibration_.threshold is not None
    classifier = FewShotClassifier(source(), names="on").fit(x, y).add_names(["complaint"])
    result = cross_validate(classifier)
    assert len(result.truth) == len(x) and any("complaint" in note for note in result.notes)


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="auto, on or off"):
        FewShotClassifier(source(), names="perhaps").fit(*sentences(1))  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="cannot read"):
        FewShotClassifier(None, names="on").fit(torch.eye(2), ["a", "b"])
    with pytest.raises(InputError, match="names are off"):
        FewShotClassifier(source(), names="off").fit_names(TOPICS)
    with pytest.raises(InputError, match="encoder of texts"):
        FewShotClassifier(None).fit_names(TOPICS)
    with pytest.raises(InputError, match="twice"):
        FewShotClassifier(source()).fit_names(["a", "b", "a"])
    with pytest.raises(InputError, match="at least 2"):
        FewShotClassifier(source()).fit_names(["a"])
    with pytest.raises(InputError, match="description"):
        FewShotClassifier(source(), descriptions={"a": ""}).fit_names(["a", "b"])
    with pytest.raises(InputError, match=r"coverage of 0\.9 takes 9 examples"):
        FewShotClassifier(source(), coverage=0.9).fit_names(TOPICS)


def test_integers_are_no_names():
    x, y = sentences(1)
    assert FewShotClassifier(source()).fit(x, [TOPICS.index(label) for label in y]).show()["names"] is None


def test_the_command_line_takes_names_without_examples(tmp_path, capsys):
    out, table, about = tmp_path / "t.fewshot", tmp_path / "more.csv", tmp_path / "about.csv"
    about.write_text("label,text\nrefund,they want their money back\n")
    allow = ("--allow", "tests")
    words = ["adapt", ENCODER, "--classes", "refund, delivery time,opening hours", "--descriptions", str(about)]
    assert cli.main([*words, "--out", str(out), *allow]) == 0
    assert "refund (0)" in capsys.readouterr().out
    table.write_text("text,label\nhow do I pay,card\nrefund me,refund\n")
    assert cli.main(["add", str(out), str(table), *allow]) == 0
    assert cli.main(["add", str(out), "--classes", "gift voucher", *allow]) == 0
    assert cli.main(["add", str(out), *allow]) == 2
    (tmp_path / "ask.txt").write_text("delivery late\nmoney\nvoucher\n")
    capsys.readouterr()
    assert cli.main(["predict", str(out), str(tmp_path / "ask.txt"), "--json", *allow]) == 0
    answers = [json.loads(line)["class"] for line in capsys.readouterr().out.splitlines()]
    assert answers == ["delivery time", "refund", "gift voucher"]
    assert cli.main(["adapt", ENCODER, "--out", str(out), *allow]) == 2
    assert "--classes" in capsys.readouterr().err
