"""Data sets of ratings, one module each: `read(options)` returns `Ratings`; or a table of one's own, by path."""

import importlib
import pkgutil
from dataclasses import replace
from types import ModuleType

from innerloop.core.files import expanded
from innerloop.tasks.ratings.read import RatingOptions, from_file, is_ratings
from innerloop.tasks.ratings.table import Ratings

__all__ = ["RatingOptions", "Ratings", "is_ratings", "load", "module", "names"]
_NO_DATA = ("behaviour", "encoding", "features", "rdataset", "read", "sampler", "splits", "table")


def names() -> list[str]:
    """Names of all data sets."""
    return [m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__) if m.name not in _NO_DATA]


def module(name: str) -> ModuleType:
    """The module of a data set."""
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def load(name_or_path: str, options: RatingOptions = RatingOptions()) -> Ratings:
    """Read a data set by name, or a table of ratings by path.

    Args:
        name_or_path: One of `names()`, or a CSV file with the columns user, item, rating and perhaps time.
        options: Files of features and the scale, for a table of one's own.

    Raises:
        InputError: It cannot be read, or its package is not installed.
    """
    if name_or_path in names():
        plain = replace(options, behaviour=False, least=None, texts=False)
        table: Ratings = module(name_or_path).read(plain)
        return table.as_behaviour(options.least) if options.behaviour else table
    return from_file(expanded(name_or_path), options)
