"""An environment with some packages alone, made of links to those that are installed."""

import os
import subprocess
import sys
from collections.abc import Iterable
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


def run(folders: list[Path], words: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with nothing to import but the standard library and some folders."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "INNERLOOP"))}
    env["PYTHONPATH"] = os.pathsep.join(map(str, folders))
    return subprocess.run([sys.executable, "-S", *words], cwd=cwd, env=env, capture_output=True, text=True)
