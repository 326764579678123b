"""`.npz` files of plain arrays, from anyone: read whole, without pickles, or refused in one message."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from innerloop.core.errors import InputError

Arrays = dict[str, np.ndarray]


def load(path: Path, needed: Sequence[str] | None = None) -> Arrays:
    """Read the arrays of a file.

    Args:
        path: The file.
        needed: Names of those that are wanted; None: all.

    Returns:
        By name, those of them that it has.

    Raises:
        InputError: It is not there, cannot be read, is damaged, or holds objects.
    """
    try:
        with zipfile.ZipFile(path) as file:
            members = {entry.filename.removesuffix(".npy"): entry for entry in file.infolist()}
            # A member is read whole: only at its end is its checksum looked at, where NumPy stops by the shape.
            return {
                name: np.load(io.BytesIO(file.read(entry)), allow_pickle=False)
                for name, entry in members.items()
                if entry.filename.endswith(".npy") and (needed is None or name in needed)
            }
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder: give an .npz file") from error
    except PermissionError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except MemoryError as error:
        raise InputError(f"{path} holds arrays for which there is not enough memory: save it in parts") from error
    except Exception as error:  # whatever zipfile, its decompressors and NumPy's parser stumble on
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise InputError(
            f"{path} is no .npz of plain arrays ({reason}), named x and y as np.savez(file, x=x, y=y) writes them: "
            "pickled objects are never read"
        ) from error


def words(labels: np.ndarray) -> np.ndarray:
    """Labels that NumPy keeps as bytes, as the text that they are; others as they are."""
    if labels.dtype.kind != "S":
        return labels
    return np.array([_text(label) for label in labels.ravel().tolist()], dtype=str).reshape(labels.shape)


def pictures_first(x: np.ndarray, name: Path | str) -> np.ndarray:
    """[n, ...] arrays with the channels of pictures before height and width, and whole numbers of a byte as bytes.

    Args:
        x: Channels may be last, as most programs write pictures; 2 and more rows wide and high.
        name: What errors call it.

    Raises:
        InputError: Pictures with transparency.
    """
    if x.ndim == 4 and x.shape[1] not in (1, 3):
        rows, columns, last = x.shape[1:]
        if last in (1, 3) and (x.dtype == np.uint8 or rows == columns):
            x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        elif last == 4 and rows == columns:
            raise InputError(
                f"{name}: x of shape {list(x.shape)} looks like pictures with transparency: give [n, channels, height, "
                "width] with 1 or 3 channels"
            )
    pictures = x.ndim == 3 or (x.ndim == 4 and x.shape[1] in (1, 3))
    if pictures and x.dtype.kind in "iu" and x.dtype != np.uint8 and x.size and x.min() >= 0 and 1 < x.max() <= 255:
        return x.astype(np.uint8)
    return x


def _text(label: bytes) -> str:
    try:
        return label.decode()
    except UnicodeDecodeError:
        return label.decode("latin-1")
