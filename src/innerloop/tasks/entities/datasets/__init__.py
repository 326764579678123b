"""Data sets of tagged sentences, one module each: `read(root, scheme, left_out)` returns `TaggedSplits`."""

import importlib
import pkgutil
from types import ModuleType


def names() -> list[str]:
    """Names of all data sets, as the field writes them."""
    return [m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__)]


def module(name: str) -> ModuleType:
    """The module of a data set."""
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
