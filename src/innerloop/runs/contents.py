"""What there is, with the first sentence of its documentation."""

import importlib
import sys

from innerloop.fewshot import sources as serving
from innerloop.learners import catalogue
from innerloop.runs.regressions import REGRESSIONS
from innerloop.tasks import datasets


def learners() -> dict[str, str]:
    """Names of learners, and what they are."""
    return {name: _first_line(sys.modules[cls.__module__].__doc__) for name, cls in catalogue().items()}


def data_sets() -> dict[str, str]:
    """Names of data sets, and what they are."""
    modules = {n: importlib.import_module(f"{datasets.__name__}.{n.replace('-', '_')}") for n in datasets.names()}
    modules |= {n: problem.module for n, problem in REGRESSIONS.items()}
    return {n: _first_line(m.__doc__) for n, m in modules.items()}


def sources() -> dict[str, str]:
    """What can be adapted by name, shipped runs and frozen encoders, and what they are."""
    return serving.names()


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().partition("\n")[0]
