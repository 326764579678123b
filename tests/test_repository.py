"""Files that stand beside the package and name what is in it."""

import re
import tomllib
from pathlib import Path

import pytest

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


def test_what_security_says_of_other_pages_is_there():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links and all((ROOT / link).exists() for link in links)
