"""The house rules, read off the source: who may import whom, and what an algorithm needs."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = (
    {"core"},
    {"learners", "nn", "tasks", "engine"},
    {"evaluate", "optim", "track"},
    {"audit", "report", "encoders"},
    {"problems"},
    {"fewshot"},
    {"apps"},
    {"runs", "service"},
    {"advice", "continual", "compat", "mlflow", "serve", "studies"},
    {"cli"},
)
"""The rooms, from the ground up. A room imports itself and what is on the floors below, never a neighbour."""
ONLY_IN = {"matplotlib": "report", "jinja2": "report", "markupsafe": "report"}
"""Packages that one room alone imports."""
UPWARDS = {("evaluate/__init__.py", "audit")}
"""A public name that is looked up when it is asked for, for type checkers only."""
CORE_MAY_IMPORT = sys.stdlib_module_names | {"innerloop", "torch", "platformdirs"}
DOORS = {
    r"torch\.(from_numpy|frombuffer)\(": {"core/aligned.py"},
    # As NumPy arrays, which never become tensors.
    r"safe_open\(|load_file\(|safetensors\.torch\.load\(": {"engine/checkpoint.py", "fewshot/light.py"},
    r"torch\.load\(": {"engine/checkpoint.py", "nn/efficientnet_lite0.py"},
}
"""Where memory that torch did not allocate comes in; everybody else asks there, and gets it aligned."""
UNQUOTED = re.compile(r"pip install (?:innerloop\[|\"innerloop)")
"""Messages and pages have `pip install 'innerloop[extra]'`."""
MAX_LINES = 400


def below(room: str) -> set[str]:
    """The rooms that a room may import, itself among them; none for a room that is on no floor."""
    found: set[str] = set()
    for floor in FLOORS:
        if room in floor:
            return found | {room}
        found |= floor
    return set()


def imports(file: Path) -> set[str]:
    """Full names of what a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("innerloop.relative-imports-are-not-used")
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def violations(root: Path) -> list[str]:
    """What breaks the rules in the checkout at `root`."""
    source, found = root / "src" / "innerloop", []
    table = (root / "docs" / "algorithms.md").read_text()
    for file in sorted(source.rglob("*.py")):
        place = file.relative_to(source)
        if len(file.read_text().splitlines()) > MAX_LINES:
            found.append(f"{place} is longer than {MAX_LINES} lines")
        if '"""Of ' in file.read_text():
            found.append(f"{place} has a docstring that begins with Of: begin with a noun or a verb")
        if UNQUOTED.search(file.read_text()):
            found.append(f"{place} writes pip install without quotes: a shell may take [...] for a pattern")
        for call, places in DOORS.items():
            if place.as_posix() not in places and (match := re.search(call, file.read_text())):
                found.append(f"{place} calls {match[0]} beside {', '.join(sorted(places))}")
        if place.as_posix() in ("__init__.py", "__main__.py"):
            continue
        layer = place.parts[0]
        allowed = below(layer)
        if not allowed:
            found.append(f"{place} is in no room of the house")
        for name in sorted(imports(file)):
            package, _, inner = name.partition(".")
            room = inner.split(".")[0]
            if package == "innerloop" and room not in allowed:
                if (place.as_posix(), room) in UPWARDS:
                    continue
                found.append(f"{place} imports {inner or 'the whole package'}")
            if layer == "apps" and room == "apps" and inner.split(".")[1:2] != list(place.parts[1:2]):
                found.append(f"{place} imports another app, {inner}")
            if ONLY_IN.get(package, layer) != layer:
                found.append(f"{place} imports {package}, which {ONLY_IN[package]} alone does")
            if layer == "core" and package not in CORE_MAY_IMPORT:
                found.append(f"{place} imports {name}")
            if layer == "learners" and inner.startswith("learners."):
                found.append(f"{place} imports another learner, {inner}")
        if layer == "learners" and file.name != "__init__.py":
            if len(place.parts) != 3:
                found.append(f"{place} is in no family")
            if not (root / "tests" / place.parent / f"test_{file.name}").exists():
                found.append(f"{place} has no tests/{place.parent}/test_{file.name}")
            if f"| `{file.stem}` |" not in table:
                found.append(f"{place} has no row in docs/algorithms.md")
    return found


def test_the_house_rules_hold():
    assert violations(ROOT) == []


def test_the_drawing_of_the_house_is_this_house():
    rows = re.findall(r"^\| \d \| (.*?) \|", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == list(reversed(FLOORS))


def test_every_page_is_linked_from_the_first_one_and_from_the_menu():
    docs = ROOT / "docs"
    pages = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")} - {"index.md"}
    pages = {page for page in pages if "/support/documents/" not in page}
    linked = set(re.findall(r"\]\(([\w/.-]+\.md)\)", (docs / "index.md").read_text()))
    menu = set(re.findall(r": ([\w/.-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert pages - linked == set() == pages - menu
    unquoted = [page for page in pages if UNQUOTED.search((docs / page).read_text())]
    assert not unquoted


def test_the_core_needs_few_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert len(project["dependencies"]) <= 6


@pytest.mark.parametrize(
    ("place", "line", "said"),
    [
        ("core/x.py", "from innerloop.nn.mlp import MLP", "imports nn.mlp.MLP"),
        ("tasks/x.py", "import innerloop.learners.gradient.maml", "imports learners.gradient.maml"),
        ("engine/x.py", "def f():\n    from innerloop.evaluate import compare", "imports evaluate.compare"),
        ("evaluate/x.py", "from innerloop.audit import audit", "imports audit.audit"),
        ("runs/x.py", "import matplotlib.pyplot", "imports matplotlib, which report alone does"),
        ("learners/gradient/x.py", "from innerloop.learners.gradient.maml import MAML", "imports another learner"),
        ("learners/gradient/x.py", "", "has no row in docs/algorithms.md"),
        ("learners/gradient/x.py", "", "has no tests/learners/gradient/test_x.py"),
        ("nn/x.py", "\n" * (MAX_LINES + 1), "is longer than"),
        ("nn/x.py", "from . import mlp", "relative-imports"),
        ("core/x.py", "import numpy as np", "imports numpy"),
        ("tasks/x.py", "rows = torch.from_numpy(array)", "calls torch.from_numpy( beside core/aligned.py"),
        ("service/x.py", "with safetensors.safe_open(path) as f: ...", "calls safe_open( beside engine/checkpoint.py"),
        ("core/x.py", "import innerloop", "imports the whole package"),
        ("learners/gradient/maml.py", "import innerloop.learners.gradient.maml_plus_plus", "imports another learner"),
        ("learners/x.py", "", "is in no family"),
        ("nn/x.py", '"""Of a network."""', "begins with Of"),
        ("nn/x.py", 'say("pip install innerloop[images]")', "writes pip install without quotes"),
        ("misc/x.py", "", "is in no room"),
        ("nn/x.py", "from innerloop.tasks import Pool", "imports tasks.Pool"),
        ("fewshot/x.py", "from innerloop.service.client import Client", "imports service.client.Client"),
        ("service/x.py", "from innerloop.runs import build", "imports runs.build"),
        ("apps/text/x.py", "from innerloop.runs import train", "imports runs.train"),
        ("apps/text/x.py", "from innerloop.apps.ner import tag", "imports another app, apps.ner.tag"),
        ("apps/text/x.py", "from innerloop.cli import main", "imports cli.main"),
    ],
)
def test_a_planted_violation_is_found(tmp_path, place, line, said):
    file = tmp_path / "src" / "innerloop" / place
    file.parent.mkdir(parents=True)
    file.write_text(line)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "algorithms.md").write_text("| `maml` |")
    assert any(said in found for found in violations(tmp_path))
