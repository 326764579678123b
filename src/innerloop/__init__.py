"""Learning from a handful of examples: `from innerloop import FewShotClassifier, MAML, meta_train, ...`.

The names are those of `__init__.pyi`, and every learner. A name is imported when it is asked for: torch takes seconds.
"""

import gc
import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any


def __getattr__(name: str) -> Any:
    modules = _modules()
    if name in modules:
        with _no_collection():
            return getattr(importlib.import_module(modules[name]), name)
    # A learner that was only just put into its folder. Python itself asks for names such as `__path__` all the time.
    if re.fullmatch(r"[A-Z]\w*", name):
        from innerloop.learners import catalogue

        for learner in catalogue().values():
            if learner.__name__ == name:
                return learner
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_modules()})


@contextmanager
def _no_collection() -> Iterator[None]:
    """Imports without a search for garbage: one among torch's objects takes a tenth of a second and finds none."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@cache
def _modules() -> dict[str, str]:
    """The module of every public name, as type checkers read it."""
    stub = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    return {name: module for module, name in re.findall(r"^from (\S+) import (\w+) as \2$", stub, re.MULTILINE)}
