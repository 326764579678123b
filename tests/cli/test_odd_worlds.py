"""Other encodings, and names that nobody expects, through the command line in processes of their own."""

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from innerloop.cli.main import main
from innerloop.tasks import images

DECOMPOSED = unicodedata.normalize("NFD", "café")
LATIN = os.fsdecode("café".encode("latin-1"))
LONG = "x" * 300
SCRIPT = """
import json, sys
from innerloop.cli.main import main
for words in json.load(open("commands.json")):
    code = main(words)
    sys.stdout.flush()
    print(f"\\n== {code}", file=sys.stderr, flush=True)
"""
WORLDS = {
    "plain C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "ASCII, strict": {"PYTHONIOENCODING": "ascii:strict"},
}
WELL = [
    ["adapt", "kanji-protonet", "latin", "--out", "t.fewshot"],
    ["show", "t.fewshot"],
    ["add", "t.fewshot", "decomposed"],
    ["predict", "t.fewshot", "~cat.png"],
    ["predict", "t.fewshot", LATIN + ".png"],
    ["adapt", "kanji-protonet", LATIN, "--out", LATIN + ".fewshot"],
    ["show", LATIN + ".fewshot", "--json"],
    ["drop", "t.fewshot", DECOMPOSED],
    ["undo", "t.fewshot"],
    ["add", "plain.fewshot", "half.jsonl"],
    ["show", "plain.fewshot"],
]
BADLY = [
    ["predict", "t.fewshot", "~nobody-here/x.png"],
    ["predict", "t.fewshot", LONG + ".png"],
    ["predict", "t.fewshot", "\udce9\udcff.png"],
    ["predict", LONG, "~cat.png"],
    ["adapt", "kanji-protonet", "latin", "--out", LONG],
    ["adapt", LONG, "latin", "--out", "u.fewshot"],
    ["add", "t.fewshot", LONG],
    ["drop", "t.fewshot", "\udce9"],
    ["export", "t.fewshot", "--out", LONG + ".pt2"],
    ["train", "protonet", "--data", LONG],
    ["train", "protonet", "--data", LATIN],
    ["train", "protonet", "--data", "digits", "--ways", "3", "--out", LONG],
    ["test", LONG],
    ["compare", "\udce9", LONG],
    ["audit", LONG],
    ["verify", LONG],
    ["data", LONG],
    ["data", "latin.csv"],
    ["data", "half.csv"],
]


def _pictures(folder: Path, *names: str) -> None:
    values = np.random.default_rng(0).integers(0, 256, (len(names), 3, 20, 20), dtype=np.uint8)
    for name, some in zip(names, values, strict=True):
        (folder / name).mkdir(parents=True)
        for i, one in enumerate(some):
            Image.fromarray(one).save(folder / name / f"{i}.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("odd")
    _pictures(root / "latin", "a", "b", LATIN)
    _pictures(root / "decomposed", "a", DECOMPOSED)
    _pictures(root / LATIN, "a", "b")
    for name in ("~cat.png", LATIN + ".png"):
        Image.new("L", (20, 20), 200).save(root / name)
    rows = [{"features": [i, i % 2], "label": label} for i, label in enumerate(["\ud800x", "b", "\ud800x", "b"])]
    (root / "half.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (root / "latin.csv").write_bytes("text,label\nx,é\n".encode("latin-1"))
    (root / "half.csv").write_bytes(b"text,label\nhi,\xed\xa0\x80\n")
    return root


@pytest.mark.parametrize("world", WORLDS)
def test_odd_names_in_an_odd_world(folder, world):
    from innerloop.fewshot.classifier import FewShotClassifier

    x = np.eye(3)[:, :2]
    FewShotClassifier().fit(x, list("abc")).save(folder / "plain.fewshot")
    (folder / "commands.json").write_text(json.dumps([*WELL, *BADLY]))
    for old in folder.glob("*.fewshot"):
        if old.name != "plain.fewshot":
            old.unlink()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=folder, env=os.environ | WORLDS[world], capture_output=True
    )
    printed = done.stderr.decode("latin-1")
    assert done.returncode == 0, printed
    *parts, _ = printed.split("\n== ")
    codes = [part.partition("\n")[0] for part in printed.split("\n== ")[1:]]
    expected = ["0"] * len(WELL) + ["2"] * len(BADLY)
    assert codes == expected, [part[-600:] for part, a, b in zip(parts, codes, expected, strict=True) if a != b]
    for words, part in zip(BADLY, parts[len(WELL) :], strict=True):
        lines = [line for line in part.splitlines() if line.startswith("innerloop: ")]
        # How a file was read is said besides what is wrong in it.
        messages = [line for line in lines if "--encoding names another" not in line]
        assert len(messages) == 1 and "Traceback" not in part, (words, part)


def test_memory_that_runs_out_is_one_message(monkeypatch, capsys, tmp_path):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("innerloop.fewshot.commands.add", full)
    (tmp_path / "a.fewshot").touch()
    assert main(["add", str(tmp_path / "a.fewshot"), "b.csv"]) == 1
    assert "not enough memory" in capsys.readouterr().err


def test_memory_that_runs_out_in_a_reader_names_the_file(monkeypatch, tmp_path):
    Image.new("L", (9, 9)).save(tmp_path / "p.png")
    monkeypatch.setattr(images, "upright", lambda _: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(Exception, match=r"not enough memory for .*p\.png"):
        images.read_image(tmp_path / "p.png", 9)


def test_a_file_that_fails_where_nobody_expects_it_is_one_message(monkeypatch, capsys, tmp_path):
    def broken(*_, **__):
        raise OSError(5, "Input/output error", "some/file")

    monkeypatch.setattr("innerloop.fewshot.commands.show", broken)
    (tmp_path / "a.fewshot").touch()
    assert main(["show", str(tmp_path / "a.fewshot")]) == 2
    assert capsys.readouterr().err == "innerloop: cannot read or write some/file: Input/output error\n"
