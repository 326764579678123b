"""Data sets of ten classes, which are too few to cut for results: for transfer, checks and teaching."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.tasks.pool import Splits, from_rows

Part = Literal["train", "test"]
"""Which of a data set's official files."""
DIGITS = tuple(str(i) for i in range(10))
_PARTS = {"train": range(5), "validation": range(5, 7), "test": range(7, 10)}


def ten_classes(
    x: Tensor, y: Sequence[int], dataset: str, names: Sequence[str] = DIGITS, part: Part | None = None
) -> Splits:
    """Training has the classes 0 to 4, validation 5 and 6, test 7, 8 and 9: at most 3 ways there.

    Args:
        x: [n, channels, size, size] uint8.
        y: [n] classes from 0 to 9.
        dataset: What it is called.
        names: Of the classes.
        part: Of the official files, where there are two; it is in the names of the splits.
    """
    preprocessing: dict[str, Any] = {"size": x.shape[-1], "channels": x.shape[1], "ink": "auto"}
    whole = from_rows(x, y, names, dataset=dataset, preprocessing=preprocessing)
    before = "" if part is None else f"{part}-"
    return Splits(**{split: whole.take(classes, f"{before}{split}") for split, classes in _PARTS.items()})


def check_labels(y: np.ndarray, name: str) -> None:
    """Refuse labels that are not 0 to 9, or lack one of them.

    Raises:
        InputError: They are or do.
    """
    present = sorted(set(y.tolist()))
    if present != list(range(10)):
        raise InputError(f"{name} must hold labels of all ten classes, 0 to 9; it has {str(present)[:60]}")


def check_part(part: str, dataset: str) -> None:
    """Refuse what is no official part.

    Raises:
        InputError: It is none.
    """
    if part not in ("train", "test"):
        raise InputError(f"{dataset} has the official parts train and test, got '{part}'")
