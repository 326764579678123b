"""Where data lie, and where arrays that cost time to make are kept: the cache folder, never a data root."""

import io
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from innerloop.core import files
from innerloop.core.context import Context, Root
from innerloop.core.context import cache_folder as folder
from innerloop.core.errors import InputError
from innerloop.tasks import npz
from innerloop.tasks.npz import Arrays

__all__ = ["Arrays", "cached", "data_folder", "folder", "write"]


def data_folder(root: Root = None) -> Path:
    """Where data sets are looked for: as the context says, else `INNERLOOP_DATA`, else `data` in the cache folder."""
    context = Context.of(root)
    named = context.data_root if context.data_root is not None else os.environ.get("INNERLOOP_DATA")
    return files.expanded(named) if named else folder(context) / "data"


def cached(root: Root, name: str, make: Callable[[], Arrays], keys: Sequence[str] = ()) -> Arrays:
    """Read arrays from the cache, or make and keep them.

    A cache that cannot be written costs the time again next time, nothing else; a damaged file is made anew.

    Args:
        root: Whose cache folder.
        name: Of the file, with everything in it that the arrays depend on (version, hash of the sources).
        make: Makes the arrays.
        keys: Names that it gives them; a file without one of them is damaged.
    """
    path = folder(root) / f"{name}.npz"
    kept = _read(path, keys)
    if kept is not None:
        return kept
    arrays = make()
    try:
        write(path, arrays)
    except InputError as error:
        warnings.warn(f"not kept for next time: {error}", stacklevel=2)
    return arrays


def write(path: Path, arrays: Arrays) -> None:
    """Replace `path` by these arrays, whole or not at all.

    Raises:
        InputError: It cannot be written.
    """
    content = io.BytesIO()
    np.savez(content, **arrays)  # pyright: ignore[reportArgumentType]
    files.write(path, content.getvalue())


def _read(path: Path, keys: Sequence[str]) -> Arrays | None:
    try:
        arrays = npz.load(path)
    except InputError:
        return None
    return arrays if arrays and arrays.keys() >= {*keys} else None
