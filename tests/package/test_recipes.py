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
    first, last, *_ = re.findall(r"^## \[(.+?)\]", changes, re.MULTILINE)
    assert first == "Unreleased" and last == PROJECT["version"]
    assert re.search(rf"^## \[{re.escape(last)}\] - \d{{4}}-\d\d-\d\d$", changes, re.MULTILINE)


def test_pins_are_what_the_command_that_makes_them_writes():
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert pins == sorted(pins, key=str.lower) and all(re.fullmatch(r"[A-Za-z0-9._-]+==[\w.!]+", pin) for pin in pins)
    assert sum(pin.startswith("torch==") for pin in pins) == 1
