"""Import a module past its package's `__init__`, which asks for what is neither installed nor used."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def past(*packages: str) -> None:
    """Stand empty packages with the right folder in for these; their modules are then the real ones.

    Raises:
        ModuleNotFoundError: The outermost package is not installed.
    """
    root = importlib.util.find_spec(packages[0])
    if root is None or root.origin is None:
        raise ModuleNotFoundError(f"{packages[0]} is not installed")
    folder = Path(root.origin).parent
    for name in packages:
        package = ModuleType(name)
        package.__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
