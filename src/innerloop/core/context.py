"""Where data sets and cached arrays lie, and whose code may run: chosen once, and passed on as one object."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a command takes from its surroundings; what is left out is asked of the environment."""

    data_root: str | Path | None = None
    """Folder of data sets; None: the environment's INNERLOOP_DATA, else where downloads are kept."""
    cache: str | Path | None = None
    """Folder for arrays that cost time to make; None: the environment's INNERLOOP_CACHE, else the user's."""
    allow: tuple[str, ...] = ()
    """Packages besides innerloop that a run, file or source may name; importing them runs their code."""

    @classmethod
    def of(cls, root: "Root") -> Self:
        """The context of a data root alone; a context as it is."""
        return root if isinstance(root, cls) else cls(data_root=root)  # pyright: ignore[reportArgumentType]


Root = Context | Path | str | None
"""What a data set takes: a context, or only the folder where data sets lie."""


def under(module: str, prefixes: Sequence[str]) -> bool:
    """Whether a module is one of these, or lies in one of these packages."""
    return any(module == p.rstrip(".") or module.startswith(p.rstrip(".") + ".") for p in prefixes)


def how_to_allow(module: str) -> str:
    """What to do about a module that is not allowed, on the command line and in Python."""
    package = module.partition(".")[0]
    return f"If you trust it, say so: --allow {package}, or allow=('{package}',)"
