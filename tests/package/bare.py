"""An environment with some packages alone, made of links to those that are installed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

TORCH = ("filelock", "typing-extensions", "sympy", "networkx", "jinja2", "fsspec", "mpmath", "markupsafe", "setuptools")
"""What torch imports; its own metadata may name gigabytes more, of other builds."""


def closure(extras: Iterable[str]) -> set[str]:
    """Names of the packages that `innerloop[extras]` needs, those of torch among them.

    Raises:
        PackageNotFoundError: One is not installed.
    """
    needed, left = set[str](), [("innerloop", frozenset(extras))]
    seen = set[tuple[str, frozenset[str]]]()
    while left:
        name, wanted = left.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        if name != "innerloop":
            needed.add(name)
        for line in () if name == "torch" else metadata.requires(name) or ():
            one = Requirement(line)
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in wanted | {""}):
                left.append((_normal(one.name), frozenset(one.extras)))
        if name == "torch":
            left += [(one, frozenset()) for one in TORCH]
    return needed


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def link(folder: Path, extras: Iterable[str] = ()) -> None:
    """Fill a folder with links to what `innerloop[extras]` needs."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in closure(extras):
        distribution = metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            place, target = folder / top, Path(str(distribution.locate_file(top)))
            if target.exists() and not place.exists():
                place.symlink_to(target)


_FORKS = """
import json, os, sys
import torch  # what takes the time to start
from innerloop.cli.main import main

statuses = []
for number, words in enumerate(json.loads(sys.argv[1])):
    child = os.fork()
    if not child:
        out = os.open(f"{number}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        status = main(words)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(statuses))
"""


def commands(folders: list[Path], typed: Sequence[str], cwd: Path) -> list[tuple[int, str]]:
    """Exit status and output of each `innerloop` command, in forks of one such Python: starting torch takes seconds."""
    done = run(folders, ["-c", _FORKS, json.dumps([command.split() for command in typed])], cwd)
    assert done.returncode == 0, done.stderr
    logs = [cwd / f"{number}.log" for number in range(len(typed))]
    return [(status, log.read_text()) for status, log in zip(json.loads(done.stdout), logs, strict=True)]


def run(folders: list[Path], words: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with nothing to import but the standard library and some folders."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "INNERLOOP"))}
    env["PYTHONPATH"] = os.pathsep.join(map(str, folders))
    return subprocess.run([sys.executable, "-S", *words], cwd=cwd, env=env, capture_output=True, text=True)
