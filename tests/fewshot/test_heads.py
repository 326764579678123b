"""Heads of frozen encoders: which is taken, why, and that a task keeps it wherever it goes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from innerloop.cli import main as cli
from innerloop.core.errors import InputError
from innerloop.encoders.base import Kind
from innerloop.encoders.module import Own
from innerloop.fewshot import file, heads
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.heads import Choice
from innerloop.fewshot.rows import Rows
from innerloop.fewshot.settings import Head
from innerloop.fewshot.sources import Source
from innerloop.fewshot.support import Support
from innerloop.learners.baselines.nearest_centroid import NearestCentroid

WIDTH = 24


@pytest.fixture(autouse=True)
def few_units(monkeypatch):
    """A random layer of which the products are solved in no time."""
    monkeypatch.setattr(heads, "_UNITS", 40)


class Words(nn.Module):
    """Features of a text: how often it has each letter of the first ones of the alphabet."""

    kind: Kind = "texts"

    def forward(self, texts: list[str]) -> torch.Tensor:
        return torch.tensor([[float(text.count(chr(97 + i))) for i in range(WIDTH)] for text in texts])


def words(head: Head = "auto") -> Source:
    return Source(
        name="words",
        learner=NearestCentroid(distance="cosine"),
        params={},
        kind="texts",
        shape=(WIDTH,),
        encoder=Own("words", Words()),
        head=head,
    )


def rows(ways=6, shots=8, seed=0, loud=6.0) -> tuple[torch.Tensor, list[str]]:
    """Classes that differ in most directions a little, with much noise in few: a mean is not enough to tell them."""
    g = torch.Generator().manual_seed(seed)
    centres = torch.randn(ways, WIDTH, generator=torch.Generator().manual_seed(99))
    y = torch.arange(ways).repeat_interleave(shots)
    noise = torch.randn(len(y), WIDTH, generator=g) * torch.where(torch.arange(WIDTH) < 4, loud, 0.5)
    return centres[y] + noise, [f"class {i}" for i in y.tolist()]


def taught(head: Head | None = None, own: Head = "auto", **how) -> FewShotClassifier:
    x, y = rows(**how)
    return FewShotClassifier(words(own), head=head).fit(Rows(x), y)


def test_what_is_chosen_answers_better_than_centroids_and_says_why():
    x, y = rows(shots=30, seed=5)
    classifier = taught()
    about = classifier.show()["head"]
    assert about["asked"] == "auto" and about["head"] in ("ridge", "linear")
    assert about["accuracy"].keys() == {"centroid", "ridge", "linear"} and about["examples"] == 48
    assert about["accuracy"][about["head"]] > about["accuracy"]["centroid"] + 0.1
    assert about["head"] in about["reason"] and "48 held-out examples" in about["reason"]
    scores = {head: taught(head).score(Rows(x), y) for head in ("centroid", "ridge", "linear")}
    assert classifier.score(Rows(x), y) == scores[about["head"]] > scores["centroid"] + 0.1


def test_of_heads_that_are_as_good_the_simplest_is_taken():
    about = taught(loud=0.5).show()["head"]
    assert about["head"] == "centroid" and about["accuracy"]["linear"] == about["accuracy"]["centroid"] == 1


def test_single_examples_leave_nothing_to_choose_by():
    about = taught(shots=1).show()["head"]
    assert about["head"] == "centroid" and about["accuracy"] == {} and "second example" in about["reason"]
    for head in ("ridge", "linear"):
        assert taught(head, shots=1).learner == heads.choose(head, _encoded(1), 6)[0]


def _encoded(shots: int) -> Support:
    x, y = rows(shots=shots)
    return Support(x, torch.tensor([int(label[-1]) for label in y]))


@pytest.mark.parametrize("head", ["auto", "centroid", "ridge", "linear", "random_projection"])
def test_a_version_is_a_function_of_its_examples(head):
    x, y = rows(ways=4, shots=6)
    at_once = FewShotClassifier(words(), head=head, reject=0.2).fit(Rows(x), y)
    bit_by_bit = FewShotClassifier(words(), head=head, reject=0.2).fit(Rows(x[:18]), y[:18])
    for i in (slice(18, 19), slice(19, len(y))):
        bit_by_bit.partial_fit(Rows(x[i]), y[i])
    query, _ = rows(seed=3)
    expected = at_once.answers(Rows(query))
    answers = bit_by_bit.answers(Rows(query))
    assert (answers.probabilities == expected.probabilities).all() and (answers.accepted == expected.accepted).all()
    assert bit_by_bit.show()["head"] == at_once.show()["head"]
    back = bit_by_bit.drop_class("class 1").undo().answers(Rows(query))
    assert (back.probabilities == expected.probabilities).all()


@pytest.mark.parametrize("head", ["centroid", "ridge", "linear", "random_projection"])
def test_an_example_is_answered_alone_as_among_many(head):
    classifier = taught(head)
    classifier = classifier.rejecting(0.2)
    query, _ = rows(shots=40, seed=4)
    many = classifier.answers(Rows(query))
    for i in range(0, len(query), 7):
        one = classifier.answers(Rows(query[i : i + 1]))
        assert one.classes[0] == many.classes[i] and one.accepted[0] == many.accepted[i]


@pytest.mark.parametrize("head", ["centroid", "ridge", "linear"])
def test_none_of_these_is_said_with_every_head(head):
    x, y = rows(ways=6, shots=20, loud=0.5)
    known = [int(label[-1]) < 4 for label in y]
    classifier = FewShotClassifier(replace(words(), kind="features"), head=head, reject=0.1)
    classifier.fit(Rows(x[known]), [label for label, one in zip(y, known, strict=True) if one])
    calibration = classifier.calibration_
    assert calibration.threshold is not None and calibration.auroc is not None and calibration.auroc > 0.9
    query, labels = rows(ways=6, shots=20, seed=7, loud=0.5)
    inside = torch.tensor([int(label[-1]) < 4 for label in labels])
    accepted = classifier.accepts(Rows(query))
    assert accepted[inside.numpy()].mean() > 0.8 and accepted[~inside.numpy()].mean() < 0.5


@pytest.mark.parametrize("head", ["ridge", "linear", "random_projection"])
def test_probabilities_are_of_the_size_that_they_should_be(head):
    classifier = taught(head)
    query, labels = rows(shots=100, seed=8)
    answers = classifier.answers(Rows(query))
    right = (answers.classes == np.array(labels)).mean()
    assert abs(answers.probabilities.max(1).mean() - right) < 0.15


@pytest.mark.parametrize("head", ["auto", "ridge", "linear", "random_projection"])
def test_a_file_keeps_the_head_and_goes_on_choosing(head, tmp_path, monkeypatch):
    classifier = taught(head).rejecting(0.2)
    path = classifier.save(tmp_path / "t.fewshot")
    encoder = Own("words", Words())
    task = file.read(path, encoder=lambda name: encoder)
    again = FewShotClassifier(task.source, reject=task.reject)
    again._task = task
    query, _ = rows(seed=3)
    assert again.show() == classifier.show()
    assert (again.predict_proba(Rows(query)) == classifier.predict_proba(Rows(query))).all()
    x, y = rows(shots=3, seed=11)
    for one in (again, classifier):
        one.partial_fit(Rows(x), y)
    assert again.show()["head"] == classifier.show()["head"] and again.show()["head"]["asked"] == head
    assert (again.predict_proba(Rows(query)) == classifier.predict_proba(Rows(query))).all()


def test_a_file_without_a_head_has_its_centroids(tmp_path):
    classifier = taught("centroid")
    path = classifier.save(tmp_path / "t.fewshot")
    _without_a_head(path)
    encoder = Own("words", Words())
    task = file.read(path, encoder=lambda name: encoder)
    assert task.source.head == "centroid" and task.choice is not None and task.choice.head == "centroid"


@pytest.mark.parametrize(
    "entry",
    [
        {"asked": "auto", "head": "linear", "accuracy": {}, "examples": 0},  # it learned with centroids
        {"asked": "best", "head": "centroid", "accuracy": {}, "examples": 0},
        {"asked": "ridge", "head": "centroid", "accuracy": {}, "examples": 0},
        {"asked": "auto", "head": "centroid", "accuracy": {"centroid": 7}, "examples": 0},
        {"asked": "auto", "head": "centroid", "accuracy": {"mlp": 0.5}, "examples": 0},
        {"asked": "auto", "head": "centroid", "accuracy": {"linear": 0.5}, "examples": 3},
        {"asked": "auto", "head": "centroid", "accuracy": {}, "examples": "many"},
        {"asked": "auto"},
        "centroid",
    ],
    ids=str,
)
def test_a_head_in_a_file_that_is_none_is_refused(entry, tmp_path):
    path = taught("centroid").save(tmp_path / "t.fewshot")
    _with_a_head(path, entry)
    encoder = Own("words", Words())
    with pytest.raises(InputError, match=r"t\.fewshot"):
        file.read(path, encoder=lambda name: encoder)


def _with_a_head(path, entry) -> None:
    from innerloop.engine import checkpoint

    tensors, metadata = checkpoint.read_tensors(path)
    about = json.loads(metadata["innerloop"]) | {"head": entry}
    checkpoint.write_tensors(path, tensors, {"innerloop": json.dumps(about)})


def _without_a_head(path) -> None:
    from innerloop.engine import checkpoint

    tensors, metadata = checkpoint.read_tensors(path)
    about = json.loads(metadata["innerloop"])
    del about["head"]
    checkpoint.write_tensors(path, tensors, {"innerloop": json.dumps(about)})


def test_a_run_has_no_head_and_no_head_is_misspelt():
    with pytest.raises(InputError, match="'kanji-protonet' has a learner of its own"):
        FewShotClassifier.load("kanji-protonet", head="linear")
    with pytest.raises(InputError, match="did you mean 'linear'"):
        FewShotClassifier(words(), head="linaer").fit(*rows())  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="there is no head 3"):
        FewShotClassifier(words(), head=3).fit(*rows())  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="own"):
        FewShotClassifier(head="ridge").fit(np.eye(4), list("aabb"))


def test_rows_that_are_too_wide_for_a_ridge_leave_it_out():
    x, y = torch.randn(8, 5000, generator=torch.Generator().manual_seed(0)), torch.arange(2).repeat_interleave(4)
    with pytest.raises(InputError, match="takes rows of 4,096"):
        heads.choose("ridge", Support(x, y), 2)
    assert heads.choose("auto", Support(x, y), 2)[1].accuracy.keys() == {"centroid", "linear"}


def test_settings_know_the_head():
    classifier = FewShotClassifier("minilm", head="ridge")
    assert classifier.get_params() == {
        "source": "minilm",
        "reject": None,
        "allow": (),
        "head": "ridge",
        "names": None,
        "descriptions": None,
        "coverage": None,
        "tune_encoder": None,
        "budget": None,
        "prior": None,
    }
    assert repr(classifier) == "FewShotClassifier(source='minilm', head='ridge')"
    assert repr(FewShotClassifier(words())) == "FewShotClassifier(source='words')"


def test_a_choice_is_read_as_it_was_written():
    choice = Choice(asked="auto", head="ridge", accuracy={"centroid": 0.5, "ridge": 0.75}, examples=4)
    assert Choice.from_json(json.loads(json.dumps(choice.to_json()))) == choice
    assert choice.reason == "ridge, the best on 4 held-out examples (centroid 50.0%, ridge 75.0%)"


def test_the_command_line_takes_a_head_and_says_why(tmp_path, capsys):
    texts = [["refund please", "a refund now", "refund it"], ["where is it", "where are we", "where to"]]
    table = tmp_path / "t.csv"
    lines = [f"{text},{label}" for label, some in zip(("refund", "where"), texts, strict=True) for text in some]
    table.write_text("\n".join(["text,label", *lines]))
    allowed = ["--allow", "tests.fewshot"]
    out = tmp_path / "t.fewshot"
    command = ["adapt", "tests.fewshot.test_heads:Words", str(table), "--out", str(out), "--head", "linear", *allowed]
    assert cli.main(command) == 0
    assert "head: linear was asked for" in capsys.readouterr().out
    assert cli.main(["show", str(out), *allowed]) == 0
    assert "LogisticRegression" in (printed := capsys.readouterr().out) and "linear was asked for" in printed
    assert cli.main(["show", str(out), "--json", *allowed]) == 0
    assert json.loads(capsys.readouterr().out)["head"]["head"] == "linear"
    assert cli.main(["adapt", "kanji-protonet", str(table), "--out", str(out), "--head", "ridge"]) == 2
    assert "learner of its own" in capsys.readouterr().err
