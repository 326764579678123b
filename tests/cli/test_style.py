"""All commands alike: their options, what they exit with, what they say where something is missing."""

import sys
import warnings

import pytest

from innerloop.cli import ner, serve
from innerloop.cli.completion_script import commands
from innerloop.cli.main import GROUPS, VERBS, main
from innerloop.core import complaints

WORDS = {
    "quickstart": None,
    "list": None,
    "completion": "fish",
    "data": "none.npz",
    "advise": "none.csv",
    "test": "none",
    "compare": "none other",
    "verify": "none",
    "play": "none",
    "follow": "none",
    "generate": "none none",
    "adapt": "kanji-protonet none --out f.fewshot",
    "predict": "none.fewshot none.png",
    "evaluate": "none.fewshot",
    "suggest": "none.fewshot none.csv",
    "add": "none.fewshot none.csv",
    "drop": "none.fewshot a",
    "undo": "none.fewshot",
    "show": "none.fewshot",
    "serve": "none --store store",
    "export": "none.fewshot --out none.onnx",
    "watch": "none.fewshot --input none.jsonl",
    "recommend": "none",
    "support": "none.fewshot",
    "reproduce": "none",
    "transfer": "none.npz digits",
    "audit": "none/run",
    "push": "none.fewshot somebody/none",
    "pull": "none",
    "ner adapt": "minilm none.json --out f.fewshot",
    "ner predict": "none.fewshot none.txt",
    "ner report": "none.json none.json",
    "ner add": "none.fewshot none.json",
    "ner drop": "none.fewshot person",
    "ner undo": "none.fewshot",
    "ner show": "none.fewshot",
    "ner test": "none",
    "serve keys": "revoke 1 --store none",
    "serve migrate": "none",
    "serve audit": "none",
    "serve backup": "none backup",
    "serve copy": "none target",
    "train maml": "--data none.npz",
    "train protonet": "--start none",
    "tune maml": "--data none.npz",
    "ner train protonet": "--data none.json",
}
"""Words after each command that name what is not there; None: it reads nothing that could be missing."""


@pytest.fixture(scope="module")
def known():
    return commands()


def test_every_command_is_tried():
    inner = {f"ner {verb}" for verb in ner.VERBS} - {"ner train"} | {f"serve {verb}" for verb in serve.VERBS}
    assert {*VERBS, *inner} - {"ner", "train", "tune"} <= set(WORDS)
    assert len(VERBS) == len(set(VERBS)) and [len(verbs) > 1 for verbs in GROUPS.values()] == [True] * len(GROUPS)


@pytest.mark.parametrize("command", WORDS)
def test_help_is_an_answer_and_nonsense_is_not(command, capsys):
    assert main([*command.split(), "--help"]) == 0
    said, error = capsys.readouterr()
    assert said.startswith(f"usage: innerloop {command.removeprefix('ner ') if 'train' in command else command}")
    assert not error
    assert main([*command.split(), *(WORDS[command] or "").split(), "--nonsense", "1"]) == 2
    said, error = capsys.readouterr()
    # Names that are not there may be told first, before torch is imported.
    assert not said and ("--nonsense" in error or "none" in error or command == "completion")
    assert "Traceback" not in error


@pytest.mark.parametrize("command", [name for name, words in WORDS.items() if words is not None])
def test_what_is_missing_is_named_in_one_message(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*command.split(), *(WORDS[command] or "").split()]) == 2
    said, error = capsys.readouterr()
    assert not said and "Traceback" not in error
    if command != "completion":  # whose word is refused by the parser
        *before, last = error.splitlines()
        assert last.startswith("innerloop: ") and "none" in last, error
        assert len(before) <= (command in ("advise", "tune maml")), error  # what it does, or a warning
    assert list(tmp_path.iterdir()) == []


def test_options_of_one_name_are_alike(known):
    for name, one in known.items():
        options = set(one.options)
        if name in ("train", "tune", "ner", "serve"):  # the first three need a second word; `serve` logs
            continue
        assert {"--json", "--quiet"} <= options, name
        assert not {"--output", "--random-state", "--verbose", "--silent", "-o"} & options, name


def test_quiet_leaves_standard_error_to_what_must_be_known(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["train", "maml", "--data", "sinusoid", "--steps", "1", "--plan", "loop", "--start"]
    assert main([*words[:-1], "--out", "first"]) == 0
    assert "untrained" not in capsys.readouterr().err
    assert main([*words, "first", "--out", "loud", "--inner-lr", "0.02"]) == 0
    assert "innerloop: " in capsys.readouterr().err, "a note on where training begins"
    assert main([*words, "first", "--out", "quiet", "--inner-lr", "0.02", "--quiet"]) == 0
    said, error = capsys.readouterr()
    assert said and not error
    assert main(["test", "none", "--quiet"]) == 2
    assert capsys.readouterr().err.startswith("innerloop: none is not a run folder")


def test_quiet_lets_complaints_and_warnings_through(capsys):
    with complaints.restored():
        complaints.hush()
        print("on the way", file=sys.stderr)
        complaints.complain("half\x1b of it is gone")
        warnings.warn("an old name", UserWarning, stacklevel=1)
    print("afterwards", file=sys.stderr)
    error = capsys.readouterr().err
    assert "innerloop: half\\x1b of it is gone\n" in error and "an old name" in error and "afterwards" in error
    assert "on the way" not in error and not complaints.hushed()


def test_a_command_without_a_word_asks_for_what_it_needs(capsys):
    for verb in ("adapt", "predict", "test", "audit"):
        assert main([verb]) == 2
        said, error = capsys.readouterr()
        assert not said and "issing" in error and "Traceback" not in error
