"""The idx format of MNIST (LeCun, Cortes, Burges): a magic number, sizes, bytes; plain or packed by gzip."""

import gzip
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from innerloop.core.aligned import from_numpy
from innerloop.core.context import Root
from innerloop.core.errors import InputError
from innerloop.tasks import downloads
from innerloop.tasks.pool import Splits
from innerloop.tasks.ten_classes import DIGITS, Part, check_labels, check_part, ten_classes

_GZIP = b"\x1f\x8b"
_BYTES = 0x08
"""The format's code of uint8, the third byte of a file; the fourth is the number of axes."""
_MOST = 1 << 28
"""Bytes of a file that is read: the largest of MNIST has 47 million, and a packed one may hold a thousand times its
size."""
_FILES: dict[Part, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


def read(path: Path, axes: int) -> np.ndarray:
    """The array of a file.

    Args:
        path: Of the file.
        axes: How many it must have: 3 of pictures, 1 of labels.

    Returns:
        uint8.

    Raises:
        InputError: It cannot be read, is cut off, or is not such a file.
    """
    try:
        with path.open("rb") as raw, gzip.open(raw) if raw.read(2) == _GZIP else raw as file:
            raw.seek(0)
            return _array(file, path, axes)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged or cut off ({error}); download it again") from error


def _array(file: io.BufferedIOBase, path: Path, axes: int) -> np.ndarray:
    """What an unpacked file says that it holds, and no byte more."""
    top = file.read(4 + 4 * axes)
    if len(top) < 4 + 4 * axes or top[:2] != b"\0\0" or top[2:4] != bytes([_BYTES, axes]):
        wanted = bytes([0, 0, _BYTES, axes]).hex()
        raise InputError(
            f"{path} is no idx file of bytes with {axes} axes: it begins with {top[:4].hex() or 'nothing'} where "
            f"{wanted} is expected"
        )
    shape = struct.unpack(f">{axes}I", top[4:])
    size, claim = math.prod(shape), f"{path} says that it holds {' x '.join(map(str, shape))} bytes"
    if size > _MOST:
        raise InputError(f"{claim}, and {_MOST:,} are most: it is another file, or damaged; download it again")
    content = file.read(size + 1)
    if len(content) != size:
        held = "more" if len(content) > size else len(content)
        raise InputError(f"{claim}, and has {held}: it is cut off or damaged; download it again")
    return np.frombuffer(content, np.uint8).reshape(shape)


def official(
    root: Root, dataset: str, url: str, md5: dict[str, str], part: Part, names: tuple[str, ...] = DIGITS
) -> Splits:
    """One part of a data set that is published as MNIST is; files may be packed or not.

    Args:
        root: The data root.
        dataset: As the field writes it.
        url: Folder of the files, with a slash at the end.
        md5: Of the packed files.
        part: Which of them.
        names: Of the classes.

    Raises:
        InputError: There is no such part, or its files are not there, or not what they should be.
    """
    check_part(part, dataset)
    images, labels = (
        downloads.located(root, dataset, name, url, md5[name], (name.removesuffix(".gz"),)) for name in _FILES[part]
    )
    x, y = read(images, 3), read(labels, 1)
    if x.shape[1:] != (28, 28) or len(x) != len(y):
        raise InputError(
            f"{images} and {labels} must hold pictures of 28 x 28 and a label for each; they hold {len(x)} of "
            f"{x.shape[1]} x {x.shape[2]} and {len(y)} labels"
        )
    check_labels(y, str(labels))
    return ten_classes(from_numpy(x[:, None].copy()), y.tolist(), dataset, names, part)
