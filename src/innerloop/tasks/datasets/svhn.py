"""SVHN: cropped digits of house numbers, 32 x 32 in colour (Netzer et al. 2011); not for commercial use.

Read from `train_32x32.mat` (73,257 pictures) or `test_32x32.mat` (26,032), in which 0 is written as 10. Of the ten
digits training has 0 to 4, validation 5 and 6, test 7, 8 and 9; `innerloop transfer` takes all ten.
"""

from pathlib import Path

import numpy as np

from innerloop.core.aligned import from_numpy
from innerloop.core.context import Root
from innerloop.core.errors import InputError
from innerloop.tasks import downloads
from innerloop.tasks.pool import Splits
from innerloop.tasks.ten_classes import Part, check_labels, check_part, ten_classes

OFFICIAL_TEST = True
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
    if x.ndim != 4 or x.shape[:3] != (32, 32, 3) or x.dtype != np.uint8 or y.shape != (x.shape[-1],):
        raise InputError(
            f"{path} must hold X, bytes of [32, 32, 3, n], and y, a label for each; it has {x.dtype} of "
            f"{list(x.shape)} and {list(y.shape)}"
        )
    y = y.astype(np.int64) % 10  # 0 is written as 10
    check_labels(y, str(path))
    rows = np.ascontiguousarray(x.transpose(3, 2, 0, 1))
    return ten_classes(from_numpy(rows), y.tolist(), "svhn", part=split)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise InputError("files of SVHN are read by scipy: pip install innerloop[transfer]") from error
    try:
        content = loadmat(path, variable_names=("X", "y"))
        return content["X"], content["y"].ravel()
    except KeyError as error:
        raise InputError(f"{path} is not SVHN's cropped digits: it has no {error}") from error
    except Exception as error:  # a damaged file makes scipy raise whatever it stumbles on
        raise InputError(f"{path} is damaged or no .mat file ({error}); download it again") from error
