"""Files as people have them, through the command line: what is left out is said, and nothing stops."""

import csv
import json
import sys
import warnings
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from innerloop.cli.main import main

KANJI = "kanji-protonet"


def drawing(path: Path, offset=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("L", (40, 40), 255)
    ImageDraw.Draw(picture).rectangle((3 + offset, 5, 9 + offset, 35), fill=0)
    picture.save(path)
    return path


@pytest.fixture(autouse=True)
def shown(monkeypatch):
    """Warnings on standard error, as without pytest, which would keep them to itself."""

    def show(message, category, filename, lineno, file=None, line=None):
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))

    monkeypatch.setattr(warnings, "showwarning", show)


@pytest.fixture
def taught(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for i in range(2):
        drawing(tmp_path / f"pics/left/{i}.gif", i)
        drawing(tmp_path / f"pics/right/deep/{i}.tiff", 20 + i)
    (tmp_path / "pics/left/notes.txt").write_text("x")
    (tmp_path / "pics/right/paper.pdf").write_text("x")
    assert main(["adapt", KANJI, "pics", "--out", "t.fewshot"]) == 0
    err = capsys.readouterr().err
    assert err == "innerloop: left out 2 files: left/notes.txt (not a picture), right/paper.pdf (not a picture)\n"
    return tmp_path


@pytest.fixture
def asked(taught):
    drawing(taught / "new/a.bmp")
    drawing(taught / "new/b/c.webp", 20)
    (taught / "new/damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (taught / "new/empty.jpg").write_bytes(b"")
    (taught / "new/other.md").write_text("x")
    return taught


def test_a_damaged_file_among_many_stops_nothing(asked, capsys):
    assert main(["predict", "t.fewshot", "new", "--json"]) == 1
    out, err = capsys.readouterr()
    answers = [json.loads(line) for line in out.splitlines()]
    assert [(one["path"], one["class"]) for one in answers] == [("new/a.bmp", "left"), ("new/b/c.webp", "right")]
    lines = err.splitlines()
    assert lines[0] == "innerloop: left out 1 file: other.md (not a picture)" and len(lines) == 3
    assert "new/damaged.png" in lines[1] and "new/empty.jpg" in lines[2]


def test_strict_answers_nothing(asked, capsys):
    assert main(["predict", "t.fewshot", "new", "--strict"]) == 2
    out, err = capsys.readouterr()
    assert not out and "new/damaged.png" in err and "empty.jpg" not in err
    (asked / "new/damaged.png").unlink()
    (asked / "new/empty.jpg").unlink()
    assert main(["predict", "t.fewshot", "new", "--strict"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_where_no_file_can_be_read_it_was_impossible(asked, capsys):
    assert main(["predict", "t.fewshot", "new/damaged.png", "new/empty.jpg"]) == 2
    out, err = capsys.readouterr()
    assert not out and "new/damaged.png" in err and "1 more are like it" in err


def test_the_answers_of_others_do_not_depend_on_the_damaged(asked, capsys):
    main(["predict", "t.fewshot", "new", "--json"])
    beside = capsys.readouterr().out
    (asked / "new/damaged.png").unlink()
    (asked / "new/empty.jpg").unlink()
    main(["predict", "t.fewshot", "new", "--json"])
    assert capsys.readouterr().out == beside


@pytest.mark.parametrize("name", ["answers.csv", "answers.tsv", "answers.jsonl"])
def test_answers_are_kept_whole(asked, capsys, name):
    assert main(["predict", "t.fewshot", "new", "--out", name]) == 1
    assert f"2 answers kept in {name}" in capsys.readouterr().out
    content = (asked / name).read_text()
    if name.endswith("jsonl"):
        assert [json.loads(line)["class"] for line in content.splitlines()] == ["left", "right"]
        return
    header, *rows = csv.reader(content.splitlines(), delimiter="\t" if name.endswith("tsv") else ",")
    assert header == ["path", "class", "accepted", "probability", "p(left)", "p(right)"]
    assert [row[:3] for row in rows] == [["new/a.bmp", "left", "true"], ["new/b/c.webp", "right", "true"]]
    assert all(float(row[3]) == max(float(row[4]), float(row[5])) for row in rows)


def test_answers_are_kept_not_at_all_where_something_fails(asked, capsys):
    (asked / "answers.csv").write_text("before")
    assert main(["predict", "t.fewshot", "new", "--out", "answers.csv", "--strict"]) == 2
    assert main(["predict", "t.fewshot", "new", "none.csv", "--out", "answers.csv"]) == 2
    assert (asked / "answers.csv").read_text() == "before"
    assert main(["predict", "t.fewshot", "new", "--out", "answers.xyz"]) == 2
    assert ".csv, .tsv, .jsonl" in capsys.readouterr().err
    assert not (asked / "answers.xyz").exists()


def test_train_and_data_say_the_same_line(taught, capsys):
    for name in ("up", "down"):
        for i in range(2):
            drawing(taught / f"pics/{name}/{i}.bmp", i)
    line = "innerloop: left out 2 files: left/notes.txt (not a picture), right/paper.pdf (not a picture)\n"
    assert main(["data", "pics", "--episodes", "2", "--ways", "1"]) in (0, 2)
    assert capsys.readouterr().err.startswith(line)
    train = ["train", "protonet", "--data", "pics", "--steps", "1", "--ways", "1", "--queries", "1", "--out", "run"]
    main(train)
    assert capsys.readouterr().err.count(line) == 1


def test_columns_and_encodings_of_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [("Wo ist die Größe", "Größe"), ("Größe bitte", "Größe"), ("Karte weg", "Karte"), ("meine Karte", "Karte")]
    content = "nr;frage;absicht;teil\n" + "".join(f"{i};{t};{c};train\n" for i, (t, c) in enumerate(rows))
    Path("t.csv").write_bytes(content.encode("cp1252"))
    command = ["adapt", "use-multilingual", "t.csv", "--out", "t.fewshot"]
    assert main(command) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == "innerloop: t.csv is read as Windows-1252, as its bytes are no UTF-8; --encoding names another"
    assert "'nr', 'frage', 'absicht', 'teil'" in second
    assert main([*command, "--label-column", "absicht", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == {"Größe": 2, "Karte": 2}
    assert main(["add", "t.fewshot", "t.csv", "--label-column", "absicht", "--encoding", "cp1252"]) == 0
    assert "Windows-1252" not in (said := capsys.readouterr().err) and "taught more than once" in said
    assert main(["predict", "t.fewshot", "t.csv", "--text-column", "frage", "--json"]) == 0
    assert [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()] == [text for text, _ in rows]
    assert main(["predict", "t.fewshot", "t.csv", "--text-column", "fragen"]) == 2
    assert "no column 'fragen' (--text-column): it has 'nr', 'frage', 'absicht', 'teil'" in capsys.readouterr().err
