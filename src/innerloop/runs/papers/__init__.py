"""Tables of papers, a file for each method on each data set: `<data>_<method>.py`, whose `rows()` are its rows.

Nothing is registered: the walk of this folder finds the files, and what their names begin with are the suites.
"""

import importlib
import pkgutil
from collections.abc import Sequence

from innerloop.core.errors import InputError
from innerloop.core.nearest import nearest
from innerloop.runs.paper import Row


def _modules() -> dict[str, list[str]]:
    """Names of the files, by suite."""
    modules: dict[str, list[str]] = {}
    for info in pkgutil.iter_modules(__path__):
        modules.setdefault(info.name.partition("_")[0], []).append(info.name)
    return modules


def suites() -> list[str]:
    """Data sets that there are rows of."""
    return sorted(_modules())


def rows(suite: str, chosen: Sequence[str] = ()) -> list[Row]:
    """The rows of a suite, in the order of the files.

    Args:
        suite: A data set.
        chosen: Names of rows, or of methods, which are all of their rows; (): all.

    Raises:
        InputError: There is no such suite or row; the message names the nearest.
    """
    modules = _modules()
    if suite not in modules:
        raise InputError(f"there are no reproductions on '{suite}'{nearest(suite, sorted(modules))}")
    every = [row for name in modules[suite] for row in importlib.import_module(f"{__name__}.{name}").rows()]
    names = {row.name for row in every}
    methods = {row.method for row in every}
    for name in chosen:
        if name not in names | methods:
            among = sorted(names if "-" in name else methods)
            raise InputError(f"{suite} has no row '{name}'{nearest(name, among)}")
    return [row for row in every if not chosen or row.name in chosen or row.method in chosen]
