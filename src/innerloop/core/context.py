"""Where data sets and cached arrays lie, and whose code may run: chosen once, and passed on as one object."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from platformdirs import user_cache_dir

from innerloop.core import files
from innerloop.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a command takes from its surroundings; what is left out is asked of the environment."""

    data_root: str | Path | None = None
    """Folder of data sets; None: the environment's INNERLOOP_DATA, else where downloads are kept."""
    cache: str | Path | None = None
    """Folder for what costs time to make, such as arrays and chosen plans; None: the environment's INNERLOOP_CACHE,
    else the user's."""
    allow: tuple[str, ...] = ()
    """Packages besides innerloop that a run, file or source may name; importing them runs their code."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "allow", prefixes(self.allow))

    @classmethod
    def of(cls, root: "Root") -> Self:
        """The context of a data root alone; a context as it is."""
        return root if isinstance(root, cls) else cls(data_root=root)  # pyright: ignore[reportArgumentType]


Root = Context | Path | str | None
"""What a data set takes: a context, or only the folder where data sets lie."""


def cache_folder(root: Root = None) -> Path:
    """Where what costs time to make is kept: as the context says, else `INNERLOOP_CACHE`, else the user's folder."""
    context = Context.of(root)
    named = context.cache if context.cache is not None else os.environ.get("INNERLOOP_CACHE")
    return files.expanded(named) if named else Path(user_cache_dir("innerloop"))


def prefixes(allow: Sequence[str] | None) -> tuple[str, ...]:
    """Packages whose code may run, as a tuple; one alone need not be in a list, and None is none.

    Raises:
        InputError: They are no names.
    """
    each = (allow,) if isinstance(allow, str) else () if allow is None else allow
    if not isinstance(each, Iterable) or not all(isinstance(one, str) for one in each):
        raise InputError(f"allow holds names of packages whose code may run, such as ('mine',); got {allow!r}")
    return tuple(each)


def under(module: str, allow: Sequence[str] | None) -> bool:
    """Whether a module is one of these, or lies in one of these packages."""
    return any(module == p.rstrip(".") or module.startswith(p.rstrip(".") + ".") for p in prefixes(allow))


def how_to_allow(module: str) -> str:
    """What to do about a module that is not allowed, on the command line and in Python."""
    package = module.partition(".")[0]
    return f"If you trust it, say so: --allow {package}, or allow=('{package}',)"


def search_here() -> str:
    """Have modules searched in the current directory first, as `python -m` does; returns the directory.

    For good: what is imported may import more later.
    """
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    return here
