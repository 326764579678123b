"""`from innerloop import ...`: every name is there, and costs nothing before it is asked for."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

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
