"""Handwritten digits of scikit-learn (UCI Optdigits, 1998): 1,797 pictures of 8 x 8, some 180 of each.

Training has 0 to 4, validation 5 and 6, test 7, 8 and 9: at most 3 ways there, for checks and teaching rather than
results.
"""

from pathlib import Path

import torch

from innerloop.core.errors import InputError
from innerloop.tasks.pool import Splits
from innerloop.tasks.ten_classes import ten_classes


def digits(root: Path | str | None = None) -> Splits:
    """Read the digits.

    Args:
        root: Not used: the pictures come with scikit-learn.

    Raises:
        InputError: scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError("the digits come with scikit-learn: pip install 'innerloop[digits]'") from error
    images, labels = load_digits(return_X_y=True)  # [n, 64] in 0 .. 16
    x = (torch.as_tensor(images).reshape(-1, 1, 8, 8) * (255 / 16)).round().to(torch.uint8)
    return ten_classes(x, labels.tolist(), "digits")
