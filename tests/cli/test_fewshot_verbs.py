"""adapt, predict, add, drop, undo and show, on pictures and on rows of numbers."""

import io
import json
import re
import sys

import numpy as np
import pytest
from rich.cells import cell_len

from innerloop.cli.main import main


def printed(capsys) -> list:
    """The JSON values on standard output, one a line."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture(scope="session")
def rows_run(tmp_path_factory):
    """A run of nearest centroid on arrays, which takes rows of numbers."""
    folder = tmp_path_factory.mktemp("arrays")
    g = np.random.default_rng(0)
    x = (4 * g.normal(size=(12, 1, 6)) + g.normal(size=(12, 20, 6))).astype(np.float32)
    np.savez(folder / "data.npz", x=x.reshape(240, 6), y=np.repeat(np.arange(12), 20))
    words = ["--data", str(folder / "data.npz"), "--ways", "3", "--steps", "1", "--network", "none"]
    assert main(["train", "nearest_centroid", *words, "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def rows(tmp_path):
    """Five classes of rows: three files to learn, to add and to ask."""
    g = np.random.default_rng(1)
    centres = 6 * g.normal(size=(6, 6))

    def write(name, classes, count):
        y = np.repeat(classes, count)
        x = centres[y] + g.normal(size=(len(y), 6))
        np.savez(tmp_path / name, x=x.astype(np.float32), y=np.array(list("abcdef"))[y])
        return str(tmp_path / name)

    return write("teach.npz", [0, 1, 2, 3], 5), write("more.npz", [4], 5), write("ask.npz", [0, 4, 5], 10)


def test_answers_stand_in_columns_whatever_their_script(pictures, tmp_path, capsys):
    (pictures / "bar").rename(pictures / "一二三四五六七八")  # sixteen columns of a terminal
    file = str(tmp_path / "t.fewshot")
    assert main(["adapt", "kanji-protonet", str(pictures), "--out", file]) == 0
    capsys.readouterr()
    assert main(["predict", file, str(pictures)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {cell_len(line[: line.index(str(pictures))]) for line in lines} == {18} and len(lines) == 3
    assert main(["show", file]) == 0
    assert re.search(r"│ 1 +│ 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d │ fit ", capsys.readouterr().out)


def test_a_task_grows_shrinks_and_goes_back(rows_run, rows, tmp_path, capsys):
    teach, more, ask = rows
    file = str(tmp_path / "t.fewshot")
    assert main(["adapt", str(rows_run), teach, "--out", file, "--reject", "0.05", "--json"]) == 0
    (made,) = printed(capsys)
    assert made["examples"] == {"a": 5, "b": 5, "c": 5, "d": 5} and made["reject"] == 0.05 and made["version"] == 1
    assert made["calibration"]["coverage"] > 0.8 and made["calibration"]["target"] == 0.05

    assert main(["predict", file, ask, "--json"]) == 0
    found = printed(capsys)
    assert [entry["row"] for entry in found] == list(range(30))
    assert {entry["class"] for entry in found[:10]} == {"a"} and {entry["class"] for entry in found[10:]} == {None}
    assert not any(entry["accepted"] for entry in found[10:])
    assert sum(found[0]["probabilities"].values()) == pytest.approx(1)
    assert main(["predict", file, ask]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 30 and said[0].startswith("a ") and said[-1].startswith("none of these")

    assert main(["add", file, more, "--json"]) == 0
    assert printed(capsys)[0]["examples"]["e"] == 5
    assert main(["predict", file, ask, "--json"]) == 0
    assert {entry["class"] for entry in printed(capsys)[10:20]} == {"e"}
    assert main(["drop", file, "b", "--json"]) == 0
    assert list(printed(capsys)[0]["examples"]) == ["a", "c", "d", "e"]
    assert main(["undo", file]) == 0 and main(["undo", file]) == 0
    assert "version 5: a (5), b (5), c (5), d (5)" in capsys.readouterr().out.splitlines()[-1]
    assert main(["undo", file, "--redo", "--json"]) == 0
    assert list(printed(capsys)[0]["examples"]) == ["a", "b", "c", "d", "e"]
    assert main(["undo", file, "--to", "3"]) == 0
    capsys.readouterr()

    assert main(["show", file, "--json"]) == 0
    (found,) = printed(capsys)
    assert found["version"] == 7 and found["learner"] == "NearestCentroid" and found["source"] == str(rows_run)
    assert [v["action"] for v in found["versions"]] == ["fit", "add e", "drop b", "undo", "undo", "redo", "back to 3"]
    assert main(["show", file]) == 0
    said = capsys.readouterr().out
    assert "drop b" in said and "false-accept rate of 0.05" in said


def test_texts_and_paths_come_from_standard_input(run, pictures, tmp_path, capsys, monkeypatch):
    file = str(tmp_path / "t.fewshot")
    table = "path,label\n" + "".join(f"{p},{p.parent.name}\n" for p in sorted(pictures.rglob("*.png")))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(table.encode())))
    assert main(["adapt", str(run), "-", "--out", file, "--json"]) == 0
    assert printed(capsys)[0]["examples"] == {"bar": 1, "post": 2}
    paths = "".join(f"{pictures}/bar/0.png\n" for _ in range(600))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(paths.encode())))
    assert main(["predict", file, "--json"]) == 0, "without data: standard input"
    found = printed(capsys)
    assert len(found) == 600 and {entry["class"] for entry in found} == {"bar"}
    assert found[0]["path"].endswith("bar/0.png")


def test_answers_come_before_the_last_question_is_asked(run, pictures, tmp_path):
    """So that any number of lines can be piped through."""
    from innerloop.fewshot import asking, commands

    file = tmp_path / "t.fewshot"
    commands.adapt(run, pictures, file)
    (tmp_path / "many.csv").write_text("path\n" + f"{pictures}/bar/0.png\n" * 300 + "none.png\n")
    found = asking.predictions(file, [tmp_path / "many.csv"])
    assert next(found)["class"] == "bar"
    with pytest.raises(ValueError, match=r"none\.png"):
        list(found)


def test_what_is_refused_leaves_the_file_as_it_is(refused, rows_run, rows, run, tmp_path):
    teach, _, ask = rows
    file = tmp_path / "t.fewshot"
    refused("adapt", rows_run, teach, "--out", file, "--reject", "2", says="false-accept rate")
    assert not file.exists()
    assert main(["adapt", str(rows_run), teach, "--out", str(file)]) == 0
    before = file.read_bytes()
    np.savez(tmp_path / "narrow.npz", x=np.zeros((2, 3)), y=["a", "b"])
    np.savez(tmp_path / "numbers.npz", x=np.zeros((2, 6)), y=[1, 2])
    refused("add", file, tmp_path / "narrow.npz", says="expecting 6 features")
    refused("add", file, tmp_path / "numbers.npz", says="both")
    refused("drop", file, "z", says="no class 'z' to drop: the classes are a, b, c, d")
    refused("undo", file, says="nothing to undo")
    refused("undo", file, "--redo", says="nothing to redo")
    refused("undo", file, "--to", "9", says="there are 1 to 1")
    refused("undo", file, "--to", "1", "--redo", says="leave out --to 1")
    refused("adapt", file, teach, "--out", tmp_path / "u", says="innerloop add")
    refused("predict", file, ask, "--reject", "0", says="false-accept rate")
    refused("show", run, says="is a folder")
    assert file.read_bytes() == before


def test_rejection_needs_enough_to_go_by_and_may_be_asked_for_later(
    refused, run, pictures, rows_run, rows, tmp_path, capsys
):
    file = tmp_path / "t.fewshot"
    refused("predict", file, rows[2], says="does not exist")
    assert main(["adapt", str(rows_run), rows[0], "--out", str(file)]) == 0
    capsys.readouterr()
    assert main(["predict", str(file), rows[2], "--reject", "0.05", "--json"]) == 0
    assert printed(capsys)[-1]["class"] is None
    assert main(["predict", str(file), rows[2], "--json"]) == 0
    assert printed(capsys)[-1]["class"] is not None


def test_either_share_is_asked_for_and_sets_are_given(refused, rows_run, rows, tmp_path, capsys):
    teach, _, ask = rows
    file = tmp_path / "t.fewshot"
    refused("adapt", rows_run, teach, "--out", file, "--strangers", "0.1", "--coverage", "0.9", says="ask for one")
    assert main(["adapt", str(rows_run), teach, "--out", str(file), "--coverage", "0.9", "--json"]) == 0
    (made,) = printed(capsys)
    assert made["coverage"] == 0.9 and made["reject"] is None and made["calibration"]["coverage"] == 0.95
    assert made["calibration"]["answered"][0] < 0.95 < made["calibration"]["answered"][1]
    assert main(["predict", str(file), ask, "--sets", "0.9", "--json"]) == 0
    found = printed(capsys)
    assert all(entry["set"] for entry in found) and all("a" in entry["set"] for entry in found[:10])
    assert main(["predict", str(file), ask, "--sets", "0.9"]) == 0
    assert "one of: a" in capsys.readouterr().out
    refused("predict", file, ask, "--sets", "0.99", says="in 99% of cases takes 99 examples")


def test_little_coverage_is_warned_of(rows_run, tmp_path, capsys):
    x = np.random.default_rng(0).normal(size=(24, 6)).astype(np.float32)
    np.savez(tmp_path / "noise.npz", x=x, y=np.repeat(list("abcd"), 6))
    with pytest.warns(UserWarning, match="of examples of the classes would be answered: teach more"):
        main(["adapt", str(rows_run), str(tmp_path / "noise.npz"), "--out", str(tmp_path / "t"), "--strangers", "0.05"])
