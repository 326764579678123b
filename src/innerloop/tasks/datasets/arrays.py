"""Any labelled array: an `.npz` file with `x` [n, ...] and `y` [n]."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.core.files import expanded
from innerloop.core.names import unified
from innerloop.core.precision import check_precision
from innerloop.tasks.npz import load, pictures_first, words
from innerloop.tasks.pool import Pool, Splits, from_rows, split_classes
from innerloop.tasks.split_sizes import default_sizes


def arrays(root: Path | str | None = None, seed: int = 0) -> Splits:
    """Read a file and cut its classes 60/20/20 by a seeded shuffle.

    Args:
        root: The `.npz` file.
        seed: Of the shuffle.

    Raises:
        InputError: As `npz`, or there are fewer than three classes.
    """
    if root is None:
        raise InputError("arrays need the path of an .npz file with x [n, ...] and y [n]")
    pool = npz(root)
    return split_classes(pool, default_sizes(len(pool)), seed)


def npz(path: Path | str) -> Pool:
    """Read all classes of a file.

    Args:
        path: Of an `.npz` with `x`: uint8 pictures [n, channels, height, width] or [n, height, width], or numbers
            [n, ...]; and `y`: [n] labels, numbers or words. Pictures may have their channels last, and be whole numbers
            up to 255 of any type. Vectors [n, d] stand for themselves in every type, also in uint8.

    Raises:
        InputError: It is not such a file, or `x` holds NaN, infinite values, or differences that float32 loses.
    """
    file = expanded(path)
    content = load(file, ("x", "y"))
    if len(content) < 2:
        raise InputError(f"{file} must hold arrays named x and y: np.savez('{file.name}', x=x, y=y)")
    return labelled(content["x"], content["y"], dataset=file.stem, name=str(file))


def labelled(x: Any, y: Any, *, dataset: str, name: str) -> Pool:
    """Sort labelled rows into a pool; `npz` says what they may be.

    Args:
        x: [n, ...] the rows: an array, a tensor or a list.
        y: [n] the label of each, likewise.
        dataset: As in `Pool`.
        name: What errors call them.

    Raises:
        InputError: As `npz`.
    """
    x, y = _array(x, f"{name}: x"), words(_array(y, f"{name}: y"))
    if y.ndim != 1 or x.ndim < 2 or len(x) != len(y) or len(y) == 0:
        raise InputError(f"{name}: x must be [n, ...] and y [n], n at least 1; got {list(x.shape)} and {list(y.shape)}")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise InputError(f"{name}: y holds NaN or infinite labels; remove those rows")
    if y.dtype.kind not in "USbiuf":
        raise InputError(f"{name}: y must hold texts or numbers, all of one kind, got {y.dtype}")
    if x.dtype.kind not in "uif":
        raise InputError(f"{name}: x must hold numbers, got {x.dtype}")
    x = pictures_first(x, name)
    if x.ndim == 2 and x.dtype != np.float32:
        check_precision(from_numpy(x.astype(np.float64)), f"x of {name}")
    # Vectors are numbers whatever their type, of which files, tables and programs make another one each.
    rows = from_numpy(x if x.dtype == np.uint8 and x.ndim > 2 else x.astype(np.float32))
    pictures = rows.dtype == torch.uint8 and rows.ndim in (3, 4)
    rows = rows[:, None] if pictures and rows.ndim == 3 else rows
    names, labels = np.unique(y, return_inverse=True)
    square = pictures and rows.shape[-1] == rows.shape[-2] and rows.shape[1] in (1, 3)
    preprocessing = {"size": rows.shape[-1], "channels": rows.shape[1], "ink": "auto"} if square else None
    spelled = unified(str(n) for n in names)
    classes = {name: i for i, name in enumerate(dict.fromkeys(spelled))}
    index = [classes[spelled[i]] for i in labels.tolist()]
    return from_rows(rows, index, list(classes), dataset=dataset, preprocessing=preprocessing)


def _array(values: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{name} is no array: {str(error).splitlines()[0]}") from error
