"""`from innerloop import ...`: every name is there, and costs nothing before it is asked for."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import innerloop
from innerloop.learners import catalogue

STUB = Path(innerloop.__file__).with_suffix(".pyi")


def test_every_public_name_is_what_the_stub_says():
    entries = [node for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.ImportFrom)]
    assert len(entries) > 40
    for node in entries:
        (alias,) = node.names
        expected = getattr(importlib.import_module(str(node.module)), alias.name)
        assert getattr(innerloop, alias.name) is expected
        assert alias.name in dir(innerloop)


def test_every_learner_is_there_also_one_that_the_stub_does_not_list(monkeypatch):
    for learner in catalogue().values():
        assert getattr(innerloop, learner.__name__) is learner
    monkeypatch.setattr(innerloop, "_modules", dict)
    assert innerloop.MAML is catalogue()["maml"]


def test_a_name_that_is_not_there():
    with pytest.raises(ImportError, match="cannot import name 'MAMLL'"):
        exec("from innerloop import MAMLL")
    assert not hasattr(innerloop, "nothing")


@pytest.mark.parametrize("heavy", ["torch", "numpy", "rich"])
def test_the_import_itself_brings_nothing_heavy(heavy):
    code = f"import innerloop, sys; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_who_only_teaches_and_asks_imports_nothing_that_trains_or_draws():
    """Tables on a terminal, plans and compilers cost as much again as all that teaching a task needs."""
    heavy = ("rich", "torch._inductor", "innerloop.learners.gradient.maml")
    heavy += tuple(f"innerloop.{name}" for name in ("engine.train", "engine.trace", "engine.choose", "engine.log"))
    heavy += ("innerloop.problems", "innerloop.report", "innerloop.runs", "innerloop.apps", "innerloop.cli")
    script = "import gc; from innerloop import FewShotClassifier\nimport sys\n"
    script += f"print(gc.isenabled(), *[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.split() == ["True"], done.stdout + done.stderr


def test_names_and_commands_bring_no_package_of_an_extra():
    names = "from innerloop import MAML, ProtoNet, FewShotClassifier, EpisodeSampler, meta_train, meta_test"
    commands = "from innerloop.cli.main import main; main(['show', 'none']); main(['train', 'maml', '--help'])"
    heavy = ("sklearn", "scipy", "pandas", "matplotlib", "PIL", "fastapi", "transformers", "optuna", "plotly", "jinja2")
    for code in (names, commands, "import innerloop.cli.serve"):
        script = f"{code}\nimport sys; print(); print(*[name for name in {heavy!r} if name in sys.modules])"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.splitlines()[-1] == "", done.stdout[-200:] + done.stderr


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "innerloop", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("innerloop ")


def test_every_public_name_is_on_a_page():
    """Names of `innerloop` and of the `__all__` of a room: in the reference or, of learners, in the algorithms."""
    docs = Path(__file__).parents[1] / "docs"
    entries = re.findall(r"^::: ([\w.]+)$", (docs / "reference.md").read_text(encoding="utf-8"), re.MULTILINE)
    shown = [_named(entry) for entry in entries]
    modules = {one.__name__ for one in shown if isinstance(one, ModuleType)}
    page = (docs / "algorithms.md").read_text(encoding="utf-8")
    rows = [one for name, one in catalogue().items() if re.search(rf"\b({name}|{one.__name__})\b", page)]
    missing = []
    for room, names in _public().items():
        for name in names:
            one = getattr(importlib.import_module(room), name)
            home = getattr(one, "__module__", None)
            if not (room in modules or home in modules or any(one is other for other in [*shown, *rows])):
                missing.append(f"{room}.{name}")
    assert len(entries) > 100 and not missing


def _public() -> dict[str, list[str]]:
    """Names of each room that says which are public."""
    root, stub = Path(innerloop.__file__).parent, ast.parse(STUB.read_text())
    rooms = {"innerloop": [node.names[0].name for node in stub.body if isinstance(node, ast.ImportFrom)]}
    for file in sorted(root.rglob("__init__.py")):
        room = ".".join(("innerloop", *file.relative_to(root).parent.parts))
        if "__all__" in file.read_text(encoding="utf-8"):
            rooms[room] = list(importlib.import_module(room).__all__)
    return rooms


def _named(entry: str) -> Any:
    """What a line of the reference shows: a module, or what is in one."""
    room, name = entry, ""
    try:
        return importlib.import_module(entry)
    except ModuleNotFoundError:
        room, _, name = entry.rpartition(".")
    return getattr(importlib.import_module(room), name)
