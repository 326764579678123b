"""Files that stand beside the package and name what is in it."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from innerloop.apps.ner import file as tagger
from innerloop.engine import checkpoint
from innerloop.fewshot import file
from innerloop.service.store.schema import SCHEMA

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_a_citation_names_this_version_and_licence():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    found = dict(re.findall(r"^(\w[\w-]*): (\S.*)$", text, re.MULTILINE))
    assert found["version"] == PROJECT["version"] and found["license"] == PROJECT["license"]


@pytest.mark.skipif(not (ROOT / ".github").exists(), reason="a source distribution has no workflows")
def test_workflows_run_what_is_there():
    yaml = pytest.importorskip("yaml", reason="PyYAML reads workflows")
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert ".ci/run" in commands and (ROOT / ".ci" / "run").stat().st_mode & 0o111
    assert all((ROOT / place).is_dir() for place in re.findall(r"\btests/\w+", text))
    for job in jobs.values():  # tests import what the package itself does not need
        typed = " ".join(step.get("run", "") for step in job["steps"])
        assert "pytest" not in typed or ".[dev]" in typed
    pythons = jobs["tests"]["strategy"]["matrix"]["python"]
    least = PROJECT["requires-python"].removeprefix(">=")
    assert pythons[0] == least and all(re.fullmatch(r"3\.\d+", version) for version in pythons)
    for form in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(form.read_text(encoding="utf-8"))


@pytest.mark.skipif(not (ROOT / ".github").exists(), reason="a source distribution has no workflows")
def test_a_tag_is_published_by_nobodys_key():
    yaml = pytest.importorskip("yaml", reason="PyYAML reads workflows")
    content = yaml.safe_load((ROOT / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8"))
    assert content[True] == {"push": {"tags": ["v*"]}}, "YAML reads `on` as true"
    build, publish = content["jobs"]["build"], content["jobs"]["publish"]
    assert content["permissions"] == {"contents": "read"} and publish["needs"] == "build"
    assert publish["permissions"] == {"id-token": "write", "attestations": "write"} and publish["environment"] == "pypi"
    assert "secrets" not in (ROOT / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8")
    (check,) = (step["run"] for step in build["steps"] if step.get("name") == "The tag is the version")
    for tag, fits in ((f"v{PROJECT['version']}", True), ("v99.0.0", False)):
        done = subprocess.run(
            check, shell=True, cwd=ROOT, env={**os.environ, "GITHUB_REF_NAME": tag}, capture_output=True
        )
        assert (done.returncode == 0) == fits, done.stderr
    commands = " ".join(step.get("run", "") for step in build["steps"])
    assert all((ROOT / place).exists() for place in re.findall(r"\btests/[\w.]+", commands))
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert container["image"].endswith(f":{PROJECT['requires-python'].removeprefix('>=')}")


def test_formats_are_of_the_versions_that_are_read_and_written():
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    said = dict(re.findall(r"^\| (.+?) \| (\d+) \|", page, re.MULTILINE))
    assert list(map(int, said.values())) == [checkpoint.VERSION, file.VERSION, tagger.VERSION, SCHEMA]
    released = re.findall(r"^\| (\d+\.\d+\.\d+) \|", page, re.MULTILINE)
    kept = {folder.name for folder in (ROOT / "tests" / "releases").iterdir()}
    headings = re.findall(r"^## \[(\d.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(released) == kept == set(headings), "each released version has its files in tests/releases"


def test_what_security_says_of_other_pages_is_there():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links and all((ROOT / link).exists() for link in links)
