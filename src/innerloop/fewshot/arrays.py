"""Numbers in whatever holds them, as one tensor in plain memory, or refused in one message."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from innerloop.core.aligned import aligned, from_numpy
from innerloop.core.errors import InputError

_UNKNOWN_TO_TORCH = (np.uint16, np.uint32, np.uint64, np.longdouble)
"""Or hardly known: it adds, compares and indexes few of them."""


class _NotNumbers(InputError, TypeError):
    """What scikit-learn's checks want for an object that is no number."""


def tensor(X: Any) -> Tensor:
    """Numbers as a tensor on the CPU, of a type that torch computes with; the caller's memory is never shared.

    Args:
        X: A tensor, a list of tensors, or what NumPy makes an array of.

    Raises:
        InputError: It holds other things than numbers, or nothing at some places.
    """
    # NumPy would take a list of tensors apart number by number, and fail where one has a gradient.
    if isinstance(X, list | tuple) and X and all(isinstance(one, Tensor) for one in X):
        X = _stacked(X)
    if isinstance(X, Tensor):
        # Aligned, because kernels round by where in memory a row begins.
        return aligned(strided(X, "X"))
    if hasattr(X, "toarray"):
        raise InputError("X is a sparse matrix, which is not taken: pass X.toarray()")
    # Before NumPy makes an array: it would hold what lies under the mask.
    check_unmasked(X, "X")
    try:
        values = np.asarray(X)
        if values.dtype.kind == "c":
            raise InputError("Complex data not supported: give real numbers")
        if values.dtype.kind in "mM":
            raise InputError(f"X holds times ({values.dtype}): give numbers, such as days since the first of them")
        # Objects may be numbers all the same, such as columns of different types in a table.
        if values.dtype.kind not in "buif":
            _check_present(values)
            values = values.astype(np.float64)
        if values.dtype in _UNKNOWN_TO_TORCH:
            values = values.astype(np.float64)
        # A copy: callers go on writing into theirs, and torch knows no foreign byte order.
        return from_numpy(np.array(values, dtype=values.dtype.newbyteorder("="), order="C"))
    except InputError:
        raise
    except TypeError as error:
        raise _NotNumbers(_no_numbers(error)) from error
    except (ValueError, OverflowError, RuntimeError) as error:  # RuntimeError: tensors inside, with gradients
        raise InputError(_no_numbers(error)) from error


def pictures(X: Any) -> Any:
    """Arrays and tensors of pictures, each of any size, as pictures of Pillow; anything else as it is: rows, paths.

    Args:
        X: [n, height, width] in grey, [n, height, width, channels] or [n, channels, height, width], or a list of such
            without n. Whole numbers from 0 to 255, or fractions from 0 to 1.

    Raises:
        InputError: It is a single picture, or its values are others.
    """
    if isinstance(X, np.ndarray | Tensor):
        if X.ndim not in (3, 4) or (isinstance(X, np.ndarray) and X.dtype.kind not in "buif"):
            return X
        if X.ndim == 3 and (X.shape[-1] in (1, 3, 4) or X.shape[0] == 3):
            raise InputError(f"X is one picture of shape {list(X.shape)}; give a list of them")
        return [_picture(one, i) for i, one in enumerate(X)]
    arrays = isinstance(X, list | tuple) and X and all(isinstance(one, np.ndarray | Tensor) for one in X)
    if not arrays or not all(one.ndim in (2, 3) for one in X):
        return X
    return [_picture(one, i) for i, one in enumerate(X)]


def _picture(one: np.ndarray | Tensor, i: int) -> Any:
    from PIL import Image

    values = strided(one, "X").float().numpy() if isinstance(one, Tensor) else one
    whole = not (one.is_floating_point() if isinstance(one, Tensor) else values.dtype.kind == "f")
    if values.ndim == 3:
        first, last = values.shape[0] in (1, 3), values.shape[2] in (1, 3, 4)
        # Torch has channels first, and most programs that write arrays have them last.
        if first and (isinstance(one, Tensor) or not last):
            values = values.transpose(1, 2, 0)
        elif not last:
            raise InputError(f"picture {i} has shape {list(values.shape)}: give height, width and 1 or 3 channels")
        values = values[..., 0] if values.shape[2] == 1 else values
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if values.dtype == np.bool_:
        values, whole = values * 255, True
    if not (low >= 0 and high <= (255 if whole else 1)):
        bounds = "0 to 255" if whole else "0 to 1"
        raise InputError(
            f"picture {i} has values from {low:.4g} to {high:.4g}: {'whole numbers' if whole else 'fractions'} go from "
            f"{bounds}; give it as it was before it was normalised"
        )
    return Image.fromarray(np.round(values if whole else values * 255.0).astype(np.uint8))


def strided(x: Tensor, name: str) -> Tensor:
    """A tensor as NumPy could have it: on the CPU, without gradient, its numbers written out.

    Args:
        x: Anywhere, in any layout.
        name: What errors call it.

    Raises:
        InputError: It is sparse, nested, or has no data.
    """
    # Before the layout: nested tensors have one of their own, and no `to_dense` makes examples of them.
    if x.is_nested:
        raise InputError(f"{name} is a nested tensor: give examples that all have the same shape")
    if x.layout != torch.strided:
        raise InputError(f"{name} is a sparse tensor, which is not taken: pass {name}.to_dense()")
    if x.is_meta:
        raise InputError(f"{name} is on the meta device, where tensors have no numbers: give one that has")
    return (x.dequantize() if x.is_quantized else x).detach().cpu().resolve_conj().resolve_neg()


def check_unmasked(values: Any, name: str) -> None:
    """Refuse masked values: NumPy would take what lies under the mask for real.

    Raises:
        InputError: There are some.
    """
    parts = values if isinstance(values, list | tuple) else [values]
    if not any(isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part) for part in parts):
        return
    first = np.argwhere(np.atleast_1d(np.ma.getmaskarray(np.ma.asarray(values))))[0][0]
    raise InputError(f"{name} holds masked values, the first in example {first}; remove or fill them")


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    shapes = sorted({tuple(part.shape) for part in parts})
    if len(shapes) > 1:
        raise InputError(f"X holds tensors of shapes {list(shapes[0])} and {list(shapes[1])}: give all the same")
    return torch.stack([strided(part, "X") for part in parts])


def _check_present(values: np.ndarray) -> None:
    """Refuse pandas' NA, whose own error is about `float()`."""
    # By its name, because pandas is optional.
    absent = [i for i, one in enumerate(values.ravel().tolist()) if type(one).__name__ == "NAType"]
    if absent:
        example = absent[0] // max(1, values[0].size if values.ndim > 1 else 1)
        raise InputError(f"X holds missing values (NA), the first in example {example}; remove or fill them")


def _no_numbers(error: Exception) -> str:
    return f"X must be an array of numbers, or a list of paths or texts ({error})"
