"""What people give as examples, turned into rows, or refused in one message.

Wording that scikit-learn's estimator checks look for is kept where it says the same.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from innerloop.core.aligned import aligned
from innerloop.core.errors import InputError
from innerloop.core.precision import check_precision
from innerloop.core.threads import spread
from innerloop.fewshot.arrays import pictures, tensor
from innerloop.fewshot.reading import check_brightness
from innerloop.fewshot.sources import Source
from innerloop.tasks.pillow import called, content, is_pillow

if TYPE_CHECKING:
    from PIL.Image import Image

_RAW = (str, bytes, Path)
_NAMED = 5
"""Names of columns in a message."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Examples that went through the encoder already, as `FewShotClassifier.rows` returned them.

    Needed only where a network of one's own takes arrays, which would go through it again.
    """

    x: Tensor
    """[n, ...], see `FewShotClassifier.rows`."""
    again: Callable[[int], Tensor] | None = None
    """[1, ...] what the encoder makes of example i alone, which may be rounded otherwise; None: just `x[i : i + 1]`."""


Examples = np.ndarray | Tensor | Sequence[str | Path | bytes] | Sequence["Image"] | Sequence[Tensor] | Rows
"""Paths or contents of n picture files, n pictures of Pillow (read as files are), n texts, or [n, ...] numbers as the
learner was trained on (pictures in uint8 are divided by 255, vectors are the same numbers in every type)."""


def read(
    X: Any, source: Source, *, teaching: bool = False, names: Sequence[str] | None = None
) -> tuple[Tensor, Source]:
    """Examples as rows: the one road, for Python, the command line, HTTP and the page.

    What a row is does not depend on the others, but for encoders of texts, which round by company.

    Args:
        X: See `Examples`.
        source: What they are for, with what was decided about the examples of its task (`Source.reading`).
        teaching: Whether they are learned from: what was not decided before is decided now.
        names: What errors call picture files; None: by their paths or places.

    Returns:
        [n, ...] uint8 (255ths) or float32 rows, and the source as further examples are to be read.

    Raises:
        InputError: They are of another kind or shape than the source takes, cannot be read, or hold NaN.
    """
    if _is_raw(X):
        raise InputError("X is one example; give a list of them" + _hint(X))
    X = _shown(X, source)
    columns = _columns(X)
    if teaching and columns is not None and source.columns is None and source.reading.unit is None:
        source = replace(source, columns=columns)  # the first table; one that comes later has nothing to fit to
    _check_columns(columns, source)
    raw = None if isinstance(X, Rows | Tensor) else _raw(X)
    # An encoder of arrays takes every array for raw; elsewhere arrays are rows already.
    if raw is None and not (source.kind == "features" and source.encoder is not None):
        rows = tensor(X.x if isinstance(X, Rows) else X)
    elif raw is None:
        assert source.encoder is not None
        rows = tensor(X.x) if isinstance(X, Rows) else source.encoder.encode(_numbers(tensor(X)))
    elif source.kind == "features":
        raise InputError(f"'{source.name}' takes arrays of numbers, not {_what(raw[0])}")
    elif source.encoder is not None:
        rows = _encoded(raw, source)
    elif source.kind == "texts":
        raise InputError(f"'{source.name}' has no encoder for texts: give arrays of features")
    else:
        rows, source = _pictures(raw, source, teaching, names)
    rows = _shaped(rows, source)
    if teaching:
        check_precision(rows)  # before anything makes float32 of them
    # A unit is of vectors alone: pictures are in 255ths, or floats up to 1.
    if source.preprocessing is None:
        decided = source.reading.of_numbers(rows) if teaching else source.reading
        rows, source = decided.numbers(rows), replace(source, reading=decided) if teaching else source
    if rows.dtype != torch.uint8:
        rows = _numbers(rows)
        if source.preprocessing is not None:
            check_brightness(rows)
    return rows, replace(source, shape=tuple(rows.shape[1:])) if teaching else source


def given(X: Any, source: Source) -> list[Any] | Tensor:
    """Examples as the encoder of a source is given them by `read`: texts, contents of files, or arrays.

    Raises:
        InputError: They are rows, which went through it before.
    """
    X = _shown(X, source)
    raw = None if isinstance(X, Rows | Tensor) else _raw(X)
    if raw is None and (isinstance(X, Rows) or source.kind != "features"):
        raise InputError(
            f"to tune '{source.name}' takes the {source.kind} themselves, and X holds rows that an encoder made: give "
            "those, or leave tune_encoder out"
        )
    if raw is None:
        return _numbers(tensor(X))
    return [content(one, called(one, i)) for i, one in enumerate(raw)] if source.kind == "pictures" else raw


def alone(X: Any, i: int, rows: Tensor, source: Source) -> Tensor:
    """One of the rows that `read` made of X, [1, ...], as it would have made it of that example alone."""
    if isinstance(X, Rows) and X.again is not None:
        return X.again(i)
    if isinstance(X, Rows) or source.encoder is None:
        return aligned(rows[i : i + 1])
    X = _shown(X, source)
    # Encoders of texts round by company, so that the row at hand is not the one of the text alone.
    raw = None if isinstance(X, Tensor) else _raw(X)
    return read(tensor(X)[i : i + 1] if raw is None else [raw[i]], source)[0]


def _shown(X: Any, source: Source) -> Any:
    """Arrays and tensors of pictures as pictures of Pillow, where an encoder takes such; anything else as it is."""
    return pictures(X) if source.encoder is not None and source.kind == "pictures" else X


def floats(rows: Tensor) -> Tensor:
    """Rows as a learner takes them: float32, pictures from 0 to 1."""
    return rows / 255 if rows.dtype == torch.uint8 else rows


def _pictures(raw: list[Any], source: Source, teaching: bool, names: Sequence[str] | None) -> tuple[Tensor, Source]:
    how = source.preprocessing
    if how is None:
        raise InputError(f"'{source.name}' was not trained on picture files, so none can be read for it: give arrays")
    # Before ink is decided, so that it is told from what a file of the same picture says.
    raw = [content(one, called(one, i)) for i, one in enumerate(raw)]
    names = [called(one, i) for i, one in enumerate(raw)] if names is None else names
    if teaching:
        source = replace(source, reading=source.reading.of_pictures(raw, how))
    rows = [source.reading.picture(one, how, name) for one, name in zip(raw, names, strict=True)]
    return torch.stack(rows), source


def _encoded(raw: list[Any], source: Source) -> Tensor:
    """Pictures one by one, which takes no longer; texts together, which is several times faster."""
    assert source.encoder is not None
    encode = source.encoder.encode
    if source.kind != "pictures":
        return encode(raw)
    return torch.cat(spread(lambda i: encode([content(raw[i], called(raw[i], i))]), range(len(raw))))


def _raw(X: Any) -> list[Any] | None:
    """Strings, paths, bytes and pictures of Pillow as a list; None: numbers."""
    if isinstance(X, np.ndarray) and X.dtype.kind not in "OUS":
        return None
    # NumPy would make one object of it.
    if hasattr(X, "toarray"):
        raise InputError("X is a sparse matrix, which is not taken: pass X.toarray()")
    if not isinstance(X, np.ndarray | list | tuple):
        kind = type(X).__name__
        X = np.asarray(X)
        if X.ndim == 0 and X.dtype.kind == "O":
            raise InputError(f"X is of type {kind}: give a list or an array of examples")
    if isinstance(X, np.ndarray) and X.ndim == 0:
        raise InputError("X is one example; give a list of them")
    entries = X.tolist() if isinstance(X, np.ndarray) else list(X)
    # Threads read these while the caller may write into a bytearray.
    plain = [bytes(one) if isinstance(one, bytearray) else one for one in entries]
    if not any(map(_is_raw, plain)):
        return None
    if not all(map(_is_raw, plain)):
        other = next(type(one).__name__ for one in plain if not _is_raw(one))
        raise InputError(f"X mixes texts or paths with {other}: give numbers, or all paths, or all texts")
    return plain


def _is_raw(value: Any) -> bool:
    return isinstance(value, _RAW) or is_pillow(value)


def _numbers(x: Tensor) -> Tensor:
    """Float32 without NaN."""
    x = x.float()
    # After the cast: what float64 holds may be infinite in float32.
    if not bool(torch.isfinite(x).all()):
        wrong = (~torch.isfinite(x)).reshape(len(x), -1).any(1).nonzero()[0].item()
        raise InputError(f"X holds NaN or infinite values (float32), the first in example {wrong}; remove or fill them")
    return x


def _columns(X: Any) -> tuple[str, ...] | None:
    """Names of the columns of a DataFrame, if they are all texts."""
    names = getattr(X, "columns", None)
    if names is None or isinstance(X, Tensor | np.ndarray) or callable(names):
        return None
    plain = tuple(names)
    return plain if plain and all(isinstance(name, str) for name in plain) else None


def _check_columns(columns: tuple[str, ...] | None, source: Source) -> None:
    """Hold a table to the columns that were taught, as scikit-learn does; one without names is taken by position."""
    if source.columns is None or columns is None or columns == source.columns:
        return
    # The words that follow are those of scikit-learn, which its estimator checks look for.
    missing = [name for name in source.columns if name not in columns]
    strange = [name for name in columns if name not in source.columns]
    if not missing and not strange:
        fault = "they are in another order"
    else:
        fault = "; ".join(
            f"{what}: {', '.join(map(repr, names[:_NAMED]))}"
            for what, names in (("missing", missing), ("unseen at fit time", strange))
            if names
        )
    raise InputError(
        f"The feature names should match those that were passed during fit ({fault}): give the columns "
        f"{', '.join(map(repr, source.columns[:_NAMED]))}{' ...' if len(source.columns) > _NAMED else ''} in this order"
    )


def _shaped(rows: Tensor, source: Source) -> Tensor:
    shape = source.shape
    if rows.is_complex():
        raise InputError("Complex data not supported: give real numbers")
    if shape is not None and rows.ndim == len(shape) and shape[:1] == (1,) and rows.ndim > 1:
        rows = rows[:, None]  # grey pictures without their one channel
    if rows.ndim < 2:
        raise InputError(
            f"examples must have shape [n, {_spelled(shape)}], got {list(rows.shape)}. Reshape your data: "
            "X.reshape(1, -1) is one example"
        )
    if 0 in rows.shape[1:]:
        raise InputError(
            f"X has 0 feature(s) (shape={tuple(rows.shape)}) while a minimum of 1 is required: give examples that are "
            "not empty"
        )
    last = shape is not None and len(shape) == 3 and shape[0] in (1, 3) and rows.shape[1:] == (*shape[1:], shape[0])
    if last and tuple(rows.shape[1:]) != shape:  # of 3 x 3 pixels in colour both orders look alike
        rows = rows.permute(0, 3, 1, 2).contiguous()  # channels last, as most programs write pictures
    if shape is not None and tuple(rows.shape[1:]) != shape:
        if len(shape) == 1 and rows.ndim == 2:
            raise InputError(
                f"X has {rows.shape[1]} features, but FewShotClassifier is expecting {shape[0]} features as input "
                f"(shape [n, {shape[0]}])"
            )
        raise InputError(f"examples must have shape [n, {_spelled(shape)}], got {list(rows.shape)}")
    return rows


def _spelled(shape: tuple[int, ...] | None) -> str:
    return "..." if shape is None else ", ".join(map(str, shape))


def _what(one: Any) -> str:
    if is_pillow(one):
        return "pictures of Pillow: give np.asarray(picture.convert('RGB')) of each"
    return "the contents of files" if isinstance(one, bytes) else f"paths or texts such as {str(one)[:40]!r}"


def _hint(X: Any) -> str:
    return f", or a folder of classes with fit_folder('{X}')" if isinstance(X, str | Path) and os.path.isdir(X) else ""
