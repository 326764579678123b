"""What other installers are told is what `pyproject.toml` says."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEEDED = {one.replace("torch>", "pytorch>") for one in PROJECT["dependencies"]}


def test_the_recipe_of_conda_needs_what_the_project_needs():
    recipe = (ROOT / "recipe" / "meta.yaml").read_text(encoding="utf-8")
    run = recipe.partition("  run:\n")[2].partition("\n\n")[0]
    asked = {line.removeprefix("    - ").replace(" ", "") for line in run.splitlines()}
    assert asked == NEEDED | {"python" + PROJECT["requires-python"]}
    assert f'version = "{PROJECT["version"]}"' in recipe and PROJECT["description"] in recipe


def test_the_environment_of_conda_has_what_the_project_needs():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8").replace("pytorch-cpu", "pytorch")
    assert set(re.findall(r"^\s+- ([a-z-]+>=[\d.]+)$", text, re.MULTILINE)) == NEEDED
    extras = re.search(r"-e \.\[(.+)\]", text)
    assert extras is not None
    assert set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"])


def test_the_changelog_knows_the_version():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{PROJECT['version']}]" in changes and "## [Unreleased]" in changes
