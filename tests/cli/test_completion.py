"""What a shell completes is what commands take."""

import re
import shutil
import subprocess

import pytest

from innerloop.cli.completion_script import commands, script
from innerloop.cli.main import VERBS, main

BASH = shutil.which("bash")
needs_bash = pytest.mark.skipif(BASH is None, reason="there is no bash")


@pytest.fixture(scope="module")
def known():
    return commands()


def completed(known, line: str) -> list[str]:
    """What bash offers for the last word of a line."""
    assert BASH is not None
    words = " ".join(f"'{word}'" for word in line.split(" "))
    asked = f'COMP_WORDS=({words}); COMP_CWORD={line.count(" ")}; _innerloop; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run([BASH, "-c", f"{script(known, 'bash')}\n{asked}"], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("words", [*VERBS, "ner predict", "ner report", "serve keys", "train protonet", "tune maml"])
def test_every_option_of_the_help_is_completed_and_no_other(known, words, capsys, monkeypatch):
    if words in ("train", "tune", "ner"):  # which take a word first
        assert known[words].words and not known[words].options
        return
    monkeypatch.setenv("COLUMNS", "120")  # boxes below each other
    assert main([*words.split(), "--help"]) == 0
    lines = re.findall(r"^│? *(-[-h].*?)(?:  |$)", capsys.readouterr().out, re.MULTILINE)
    said = {name for line in lines for name in re.findall(r"(?:^|, )(--\w[\w-]*)(?=[ ,]|$)", line)}
    assert said - {"--help"} == set(known[words].options)


@needs_bash
@pytest.mark.parametrize(
    "line, offered",
    [
        ("innerloop quick", ["quickstart"]),
        ("innerloop train proto", ["protonet"]),
        ("innerloop train protonet --plan vm", ["vmap"]),
        ("innerloop train maml-plus-plus --meta-b", ["--meta-batch-size"]),
        ("innerloop train maml --data sinusoi", ["sinusoids", "sinusoid"]),
        ("innerloop train maml --no-first", ["--no-first-order"]),
        ("innerloop ner pre", ["predict"]),
        ("innerloop ner predict f.fewshot --o", ["--out"]),
        ("innerloop ner train proto", ["protonet"]),
        ("innerloop serve keys ad", ["add"]),
        ("innerloop serve --demand", ["--demand-keys"]),
        ("innerloop serve keys add --scope w", ["write"]),
        ("innerloop suggest f.fewshot t.csv --by en", ["entropy"]),
        ("innerloop adapt kanji-p", ["kanji-protonet"]),
        ("innerloop predict f.few", []),
        ("innerloop nothing --x", []),
    ],
)
def test_words_are_completed(known, line, offered):
    assert completed(known, line) == offered


@needs_bash
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_scripts_are_scripts(shell, capsys):
    assert main(["completion", shell]) == 0
    written = capsys.readouterr().out
    assert BASH is not None
    assert subprocess.run([BASH, "-n"], input=written, capture_output=True, text=True).stderr == ""
    zsh = shutil.which("zsh")
    if shell == "zsh" and zsh is not None:
        assert subprocess.run([zsh, "-n"], input=written, capture_output=True, text=True).stderr == ""
