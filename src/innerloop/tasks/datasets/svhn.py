"""SVHN: cropped digits of house numbers, 32 x 32 in colour (Netzer et al. 2011); not for commercial use.

Read from `train_32x32.mat` (73,257 pictures) or `test_32x32.mat` (26,032), in which 0 is written as 10. Of the ten
digits training has 0 to 4, validation 5 and 6, test 7, 8 and 9; `innerloop transfer` takes all ten.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from innerloop.core.aligned import from_numpy
from innerloop.core.context import Root
from innerloop.core.errors import InputError
from innerloop.tasks import downloads
from innerloop.tasks.pool import Splits
from innerloop.tasks.ten_classes import Part, check_labels, check_part, ten_classes

OFFICIAL_TEST = True
_MOST = 600_000
"""Pictures of a file; the part that is called extra has 531,131."""
_URL = "http://ufldl.stanford.edu/housenumbers/"
_MD5 = {"train": "e26dedcc434d2e4c54c9b2d4a06d8373", "test": "eb5a983be6a315427106f1b164d9cef3"}


def svhn(root: Root = None, split: Part = "train") -> Splits:
    """Read SVHN's cropped digits, downloading them when they are not there.

    Args:
        root: The data root, holding the files or a folder `svhn` with them; None: the environment's
            `INNERLOOP_DATA`, else a folder in the user's cache.
        split: The official part: `train` or `test`.

    Raises:
        InputError: The file is neither there nor to be had, or is not SVHN; or scipy is missing.
    """
    check_part(split, "svhn")
    path = downloads.located(root, "svhn", f"{split}_32x32.mat", _URL, _MD5[split])
    x, y = _read(path)
    if y.dtype.kind not in "iuf" or not np.isin(y, range(11)).all():
        raise InputError(f"{path} must hold labels from 1 to 10, which is that of 0")
    y = y.astype(np.int64) % 10
    check_labels(y, str(path))
    rows = np.ascontiguousarray(x.transpose(3, 2, 0, 1))
    return ten_classes(from_numpy(rows), y.tolist(), "svhn", part=split)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        from scipy.io import loadmat, whosmat
    except ImportError as error:
        raise InputError("files of SVHN are read by scipy: pip install 'innerloop[transfer]'") from error
    # What it says of itself first: a packed file may hold a thousand times its size.
    _check(path, {name: (list(shape), kind) for name, shape, kind in _explained(path, whosmat)})
    content = _explained(path, partial(loadmat, variable_names=("X", "y")))
    missing = next((name for name in ("X", "y") if name not in content), None)
    if missing is not None:
        raise InputError(f"{path} is not SVHN's cropped digits: it has no '{missing}'")
    return content["X"], content["y"].ravel()


def _check(path: Path, about: dict[str, tuple[list[int], str]]) -> None:
    """Refuse arrays of other shapes and kinds than those of SVHN, where they are there."""
    x, kind = about.get("X", ([32, 32, 3, 0], "uint8"))
    y, _ = about.get("y", (x[-1:], ""))
    if len(x) != 4 or x[:3] != [32, 32, 3] or kind != "uint8" or math.prod(y) != x[3] or x[3] > _MOST:
        raise InputError(
            f"{path} must hold X, bytes of [32, 32, 3, n], and y, a label for each; it has {kind} of {x} and {y}"
        )


def _explained(path: Path, read: Callable[[Path], Any]) -> Any:
    try:
        return read(path)
    except Exception as error:  # a damaged file makes scipy raise whatever it stumbles on
        raise InputError(f"{path} is damaged or no .mat file ({error}); download it again") from error
