"""Data sets of texts with their classes, one module each: `read(root, scheme)` returns `TextSplits`."""

import importlib
import pkgutil
from types import ModuleType

from innerloop.core.context import Root
from innerloop.core.errors import InputError
from innerloop.core.files import expanded
from innerloop.tasks.columns import TableOptions
from innerloop.tasks.texts.splits import Texts, TextSplits, from_file, joined

__all__ = ["TextSplits", "Texts", "load", "module", "names", "parts"]
_NO_DATA = ("splits",)


def names() -> list[str]:
    """Names of all data sets, as the field writes them."""
    return [m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__) if m.name not in _NO_DATA]


def parts(data: str) -> list[str]:
    """The data sets that a name with plus signs joins, such as `banking77+clinc150`, or the one; empty: it is none."""
    found = data.split("+")
    return found if len(set(found)) == len(found) and set(found) <= set(names()) else []


def module(name: str) -> ModuleType:
    """The module of a data set."""
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def load(
    name_or_path: str, root: Root = None, scheme: str | None = None, options: TableOptions = TableOptions()
) -> TextSplits:
    """Read a data set by name, or a table of texts and labels by path.

    Args:
        name_or_path: One of `names()`, several joined by plus signs, or a table (`tasks.tables.SUFFIXES`).
        root: The data root.
        scheme: Which split of the classes, where a data set has several.
        options: How a table is read.

    Raises:
        InputError: It cannot be read, or has no such split.
    """
    if parts(name_or_path):
        if options != TableOptions():
            raise InputError(
                f"{name_or_path} is read in one way only: leave out options of tables, such as --text-column"
            )
        return joined([module(part).read(root, scheme) for part in parts(name_or_path)])
    if scheme is not None:
        raise InputError(f"{name_or_path} is split in one way only: leave out --split-scheme {scheme}")
    return from_file(expanded(name_or_path), options)
