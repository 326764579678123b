"""`innerloop evaluate`: what it prints, writes and refuses, and `predict --explain`."""

import csv
import json

import numpy as np
import pytest

from innerloop.cli.main import main
from innerloop.fewshot.classifier import FewShotClassifier

CENTRES = 2.2 * np.random.default_rng(0).normal(size=(6, 8))


def drawn(classes, count, seed=1, names=None):
    g = np.random.default_rng(seed)
    y = np.repeat(classes, count)
    names = names or list("abcdef")
    return (CENTRES[y % 6] + g.normal(size=(len(y), 8))).astype(np.float32), np.array(names)[y]


@pytest.fixture
def file(tmp_path):
    return str(FewShotClassifier(reject=0.1).fit(*drawn([0, 1, 2, 3], 6)).save(tmp_path / "t.fewshot"))


@pytest.fixture
def ask(tmp_path):
    x, y = drawn([0, 1, 2, 3, 4], 12, seed=2)
    np.savez(tmp_path / "ask.npz", x=x, y=y)
    return str(tmp_path / "ask.npz")


def test_words_a_table_a_page_and_json_say_the_same(file, ask, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    table, folder = tmp_path / "classes.csv", tmp_path / "page"
    assert main(["evaluate", file, ask, "--csv", str(table), "--report", str(folder)]) == 0
    text = capsys.readouterr().out
    assert main(["evaluate", file, ask, "--json"]) == 0
    (result,) = map(json.loads, capsys.readouterr().out.splitlines())
    worst = result["errors"][0]
    assert f"  {worst['example']}\n    is {worst['truth']}, answered {worst['answer']} (" in text
    assert f"accuracy {100 * result['accuracy']['value']:.1f}%" in text and result["accuracy"]["of"] == 48
    assert "12 examples of classes that it does not know (e)" in text and result["strangers"]["of"] == 12
    drawing = [line for line in text.splitlines() if line[:1] in "┏┃┡│└"]
    assert drawing and max(map(len, drawing)) <= 80
    rows = list(csv.DictReader(table.open()))
    assert [row["class"] for row in rows] == list("abcd")
    assert [float(row["f1"]) for row in rows] == [result["classes"][name]["f1"] for name in "abcd"]
    page = (folder / "report.html").read_text()
    assert f"{100 * result['accuracy']['value']:.1f}%</p>" in page and page.count("<svg") == 2
    assert "unknown to the task" in page and "innerloop evaluate" in page and "http" not in page.split("<body>")[0]


def test_without_examples_it_asks_its_own(file, capsys):
    assert main(["evaluate", file]) == 0
    assert "5-fold cross-validation on 24 of its own examples" in capsys.readouterr().out


def test_many_long_names_stay_within_the_screen(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    names = [f"a class with a rather long name that goes on and on, number {i}" for i in range(14)]
    x, y = drawn(list(range(14)), 3, names=names)
    file = FewShotClassifier().fit(x, y).save(tmp_path / "t.fewshot")
    assert main(["evaluate", str(file)]) == 0
    some = capsys.readouterr().out
    assert "the worst 10 of 14 classes" in some
    assert max(len(line) for line in some.splitlines() if line[:1] in "┏┃┡│└") <= 80
    assert main(["evaluate", str(file), "--all"]) == 0
    every = capsys.readouterr().out
    assert len(every.splitlines()) > len(some.splitlines()) and "worst 10" not in every


def test_a_page_of_many_classes_draws_its_matrix(tmp_path, capsys):
    x, y = drawn(list(range(14)), 3, names=[f"<b>{i}</b>" for i in range(14)])
    file = FewShotClassifier().fit(x, y).save(tmp_path / "t.fewshot")
    assert main(["evaluate", str(file), "--report", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 3 and "<b>1</b>" not in page and "&lt;b&gt;1" in page


def test_texts_and_pictures_are_read_as_for_add(run, pictures, capsys, tmp_path):
    file = str(tmp_path / "p.fewshot")
    assert main(["adapt", str(run), str(pictures), "--out", file]) == 0
    capsys.readouterr()
    assert main(["evaluate", file, str(pictures), "--json"]) == 0
    (result,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert result["accuracy"]["of"] == 3 and set(result["classes"]) == {"bar", "post"}


def test_what_cannot_be_evaluated_is_refused(file, ask, tmp_path, refused, pictures):
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04 no zip")
    (tmp_path / "bad.fewshot").write_bytes(b"no task")
    np.savez(tmp_path / "none.npz", x=np.zeros((0, 8)), y=np.zeros(0, "U1"))
    for name, classes in (("one", [0]), ("others", [4, 5])):
        x, y = drawn(classes, 3)
        np.savez(tmp_path / f"{name}.npz", x=x, y=y)
    tiny = FewShotClassifier().fit(np.eye(2), ["a", "b"]).save(tmp_path / "tiny.fewshot")
    refused("evaluate", file, tmp_path / "empty", says="empty")
    refused("evaluate", file, tmp_path / "none.npz", says="at least one example")
    refused("evaluate", file, tmp_path / "damaged.npz", says="damaged.npz")
    refused("evaluate", file, tmp_path / "one.npz", says="'a' alone")
    refused("evaluate", file, tmp_path / "others.npz", says="knows none of the classes")
    refused("evaluate", file, pictures, says="folder")
    refused("evaluate", file, tmp_path / "missing.csv", says="missing.csv")
    refused("evaluate", tiny, says="2 examples of at least 2 classes")
    refused("evaluate", tmp_path / "bad.fewshot", says="bad.fewshot")
    refused("evaluate", tmp_path / "missing.fewshot", says="does not exist")
    (tmp_path / "in-the-way").write_text("")
    refused("evaluate", file, "--report", tmp_path / "in-the-way", says="in-the-way")
    refused("evaluate", file, "--csv", tmp_path / "in-the-way" / "c.csv", says="in-the-way")


def test_an_answer_comes_with_the_examples_that_are_nearest(file, ask, capsys):
    assert main(["predict", file, ask, "--json"]) == 0
    plain = list(map(json.loads, capsys.readouterr().out.splitlines()))
    assert main(["predict", file, ask, "--json", "--explain"]) == 0
    explained = list(map(json.loads, capsys.readouterr().out.splitlines()))
    assert [{k: v for k, v in entry.items() if k != "nearest"} for entry in explained] == plain
    classifier, x = FewShotClassifier.load(file), np.load(ask)["x"]
    expected = [[one.to_json() for one in near] for near in classifier.explain(x)]
    assert [entry["nearest"] for entry in explained] == expected
    assert main(["predict", file, ask, "--explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    near = expected[0][0]
    assert len(lines) == 2 * len(x) and f"nearest: {near['label']} #{near['number']} (" in lines[1]


def test_an_encoder_is_asked_once_and_answers_as_before(tmp_path, capsys, monkeypatch):
    """A run that was trained behind nothing, with a stand-in for a frozen encoder of texts."""
    from dataclasses import replace

    import torch

    from innerloop.fewshot import asking, sources

    asked = []

    class Letters:
        kind, features = "texts", 26

        def encode(self, examples):
            asked.append(len(examples))
            return torch.tensor([[float(text.count(chr(97 + i))) for i in range(26)] for text in examples])

    source = replace(sources.source(None), kind="texts", encoder=Letters())
    classifier = FewShotClassifier(source).fit(["aaa", "aab", "zz", "zy"], ["a", "a", "z", "z"])
    monkeypatch.setattr(asking, "opened", lambda file, context: classifier)
    (tmp_path / "ask.txt").write_text("aaaa\nzzz\n")
    asked.clear()
    first, second = asking.predictions("t", [tmp_path / "ask.txt"], explain=1)
    assert asked == [2] and first["class"] == "a" and second["class"] == "z"
    nearest = [one["nearest"][0] for one in (first, second)]
    assert [(one["label"], one["number"]) for one in nearest] == [("a", 1), ("z", 1)]


def test_fewer_shots_say_what_labels_bought(file, ask, capsys):
    assert main(["evaluate", file, "--shots", "4", "1", "--json"]) == 0
    own = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [point["shots"] for point in own["points"]] == [1, 4] and own["gains"][0]["difference"]["mean"] >= 0
    assert main(["evaluate", file, ask, "--shots", "1", "2", "6"]) == 0
    assert "by one label of every class" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--shots", "1", "5"], "'a' has 6, of which 4 are left where a fifth is held out"),
        (["--shots", "0", "2"], "at least 1, got 0"),
        (["--shots", "1", "2", "--csv", "x.csv"], "--csv is of the whole task, and --shots of a part"),
    ],
)
def test_bad_numbers_of_shots_are_usage_errors(file, options, said, capsys):
    assert main(["evaluate", file, *options]) == 2
    assert said in capsys.readouterr().err
