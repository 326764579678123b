"""Data sets, one module each: a function of the module's name that takes a root and returns `Splits`."""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path

from innerloop.core.context import Root
from innerloop.core.errors import InputError
from innerloop.core.files import expanded, is_file, is_folder
from innerloop.tasks.pool import Splits
from innerloop.tasks.zips import is_zip

_GIVEN_A_PATH = ("arrays", "folder")
_OF_SOUNDS = ("spoken-words",)


def names() -> list[str]:
    """Names of all data sets, as the field writes them."""
    return [m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__) if m.name not in _GIVEN_A_PATH]


def of_pictures() -> list[str]:
    """Those of `names` whose examples are pictures of something that is seen."""
    return [name for name in names() if name not in _OF_SOUNDS]


def load(name_or_path: str | Path, root: Root = None, split: str | None = None) -> Splits:
    """Read a data set by name, a folder of classes, a zip of one, or an `.npz` file by path.

    Args:
        name_or_path: One of `names()`, or a path. A name wins over a folder of the same name; write `./name` for
            that.
        root: The data root.
        split: Which way of cutting, where a data set has several.

    Raises:
        InputError: There is neither such a data set nor such a path, or no such split.
    """
    name = str(name_or_path)
    if name.replace("_", "-") in names():
        module = name.replace("-", "_")
        return _call(module, root, split)
    path = expanded(name)
    if is_folder(path) or is_zip(path):
        return _call("folder", path, split)
    if is_file(path):
        return _call("arrays", path, split)
    near = difflib.get_close_matches(name, names(), 1, 0.5)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    raise InputError(f"there is no data set and no path '{name}'. {hint}The data sets are {', '.join(names())}")


def official_test(name: str) -> bool:
    """Whether a data set is published with a part to train on and one to test on, which its `split` names."""
    module = name.replace("-", "_")
    return module in {m.name for m in pkgutil.iter_modules(__path__)} and getattr(
        importlib.import_module(f"{__name__}.{module}"), "OFFICIAL_TEST", False
    )


def _call(module: str, root: Root, split: str | None) -> Splits:
    read: Callable[..., Splits] = getattr(importlib.import_module(f"{__name__}.{module}"), module)
    if split is None:
        return read(root)
    if "split" not in inspect.signature(read).parameters:
        raise InputError(f"{module.replace('_', '-')} is cut in one way only; leave out the split '{split}'")
    return read(root, split=split)
