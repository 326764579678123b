"""What people give as labels, turned into classes, or refused in one message.

Wording that scikit-learn's estimator checks look for is kept where it says the same.
"""

import math
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.names import unified
from innerloop.core.plain import plain
from innerloop.fewshot.arrays import check_unmasked, strided
from innerloop.fewshot.history import Label

Labels = Sequence[Any] | np.ndarray | Tensor
"""[n] classes of examples."""


def labels(y: Any, count: int | None = None, none: str | None = None) -> list[Label]:
    """[n] classes as strings, integers or booleans.

    Args:
        y: [n] or [n, 1] of them, in anything that has an order; whole numbers of floating point are integers.
        count: How many there must be; None: any number.
        none: A word that may stand among integers, for an example of no class.

    Raises:
        InputError: Not one for each example, or of other types.
    """
    if y is None:
        raise InputError("fitting requires y to be passed, but the target y is None: give the class of every example")
    values = _array(y)
    _refuse_several(y, values)
    if values.ndim == 2 and values.shape[1] == 1:
        message = "A column-vector y was passed when a 1d array was expected: it is taken as one label for each example"
        warnings.warn(message, _conversion_warning(), stacklevel=3)
        values = values[:, 0]
    if values.ndim != 1 or count not in (None, len(values)):
        examples = "" if count is None else f"X has {count} examples and "
        raise InputError(f"{examples}y shape {list(values.shape)}; give one label for each example (a 1d array)")
    classes = [_plain(one) for one in values.tolist()]
    # Before floats are taken for integers, which NaN is not.
    absent = next((i for i, one in enumerate(classes) if _is_absent(one)), None)
    if absent is not None:
        raise InputError(f"Input y contains NaN or nothing, first for example {absent}: give every example a class")
    if any(isinstance(one, float) for one in classes):
        classes = _whole(classes)
    # By type, since True equals 1 and is another class.
    kinds = {type(one) for one in classes if none is None or one != none}
    if len(kinds) > 1 or not kinds <= {str, int, bool}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise InputError(f"Unknown label type: classes are all strings or all integers, these are {names}")
    return same_names(classes)


def known_as(label: Any, classes: Sequence[Label]) -> Any:
    """What a label is called among classes: as `labels` reads it, in their spelling; of another kind, as it is."""
    value = _plain(label)
    # A table with a gap in it reads 2 as 2.0.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return same_names([value], classes)[0] if isinstance(value, str) and value not in classes else value


def same_names(labels: Sequence[Label], known: Sequence[Label] = ()) -> list[Label]:
    """Labels with one spelling for names that look the same, such as é in one character or in two: the first one."""
    texts = [label for label in labels if isinstance(label, str)]
    spelled = iter(unified(texts, [label for label in known if isinstance(label, str)]))
    return [next(spelled) if isinstance(label, str) else label for label in labels]


def same_kind(known: Sequence[Label], more: Sequence[Label]) -> None:
    """Refuse to mix strings and integers.

    Raises:
        InputError: The labels are of two types.
    """
    kinds = {type(label): label for label in [*known, *more]}
    if len(kinds) > 1:
        first, second = kinds.values()
        raise InputError(f"classes are all strings or all integers, these are both: {first!r} and {second!r}")


def check_among(labels: Sequence[Label], classes: Sequence[Label]) -> None:
    """Hold labels to the classes that may ever come.

    Raises:
        InputError: There is another one.
    """
    # With their types, as in `labels`.
    known = {(type(one), one) for one in classes}
    strange = sorted({str(one) for one in same_names(labels, classes) if (type(one), one) not in known})
    if strange:
        raise InputError(f"y holds classes that `classes` does not: {', '.join(strange)}")


def share_right(answers: Sequence[Any], y: Any, classes: Sequence[Label], none: str) -> float:
    """Share of answers that are what a label says.

    Args:
        answers: [n] classes, or `none`.
        y: [n] labels, which may be `none`, too.
        classes: Those that are known.
        none: What is answered for an example of no class.

    Raises:
        InputError: Not one label for each answer, no answer, or integers where the classes are strings.
    """
    right = same_names(labels(y, len(answers), none), classes)
    if not right:
        raise InputError("X has 0 sample(s) while a minimum of 1 is required: give examples to score")
    same_kind(classes, [one for one in right if one != none])
    return float(np.mean([a == b for a, b in zip(answers, right, strict=True)]))


def as_array(classes: Sequence[Label]) -> np.ndarray:
    """[n] classes as an array that holds them as they are.

    NumPy cuts strings at zeros in their end, and makes floats of integers of very different size.
    """
    # NumPy makes floats of integers from 2^63 on, unless it is asked for unsigned ones.
    for dtype in (None, np.uint64):
        try:
            values = np.asarray(classes, dtype=dtype)
        except (OverflowError, ValueError):
            continue
        # Compared with what went in, because NumPy changes some without a word.
        if values.tolist() == list(classes) and values.dtype.kind != "f":
            return values
    return np.array(classes, dtype=object)


def _array(y: Any) -> np.ndarray:
    if isinstance(y, Tensor):
        values = strided(y, "y")
        # NumPy has no bfloat16.
        return (values.float() if values.is_floating_point() else values).numpy()
    check_unmasked(y, "y")
    try:
        # As objects: of a list NumPy makes one type, strings of numbers, or floats of large integers.
        values = np.asarray(y, dtype=object if isinstance(y, list | tuple) else None)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"y must hold one label for each example ({error}): give a list or a 1d array") from error
    if values.dtype.kind in "mM":
        raise InputError(f"Unknown label type: y holds times ({values.dtype}); give strings, such as y.astype(str)")
    return values


def _refuse_several(y: Any, values: np.ndarray) -> None:
    held = y if isinstance(y, list | tuple) and values.ndim < 3 and values.shape[1:] != (1,) else ()
    first = next((i for i, one in enumerate(held) if isinstance(one, list | tuple | set)), None)
    if first is not None:
        raise InputError(
            f"Unknown label type: y gives several classes to one example, first to example {first}; not supported: "
            "teach one classifier for each label, with y True or False"
        )


def _plain(value: Any) -> Any:
    """Scalars of NumPy and torch, and heirs of strings and integers, as Python's own; other things as they are."""
    if isinstance(value, Tensor) and value.ndim == 0:
        return value.item()
    if isinstance(value, str):
        # The text itself: an heir, such as a member of an enum, may print as something else.
        return str.__str__(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, np.datetime64 | np.timedelta64):  # as Python's they would be integers, or not, by their unit
        return value
    return plain(value) if isinstance(value, np.generic | np.ndarray) else value


def _is_absent(value: Any) -> bool:
    nan = isinstance(value, float) and math.isnan(value)
    return nan or value is None or type(value).__name__ in ("NAType", "NaTType")  # of pandas, which is optional


def _whole(values: list[Any]) -> list[Any]:
    # First, because infinity has no `int`.
    if any(isinstance(value, float) and math.isinf(value) for value in values):
        raise InputError("Input y contains infinity: give every example a class")
    if not all(isinstance(value, int | float) and value == int(value) for value in values):
        raise InputError("Unknown label type: y holds fractions; classes are strings or integers")
    return [int(value) for value in values]


def _conversion_warning() -> type[Warning]:
    """scikit-learn's, if it is in use."""
    module = sys.modules.get("sklearn.exceptions")
    return UserWarning if module is None else module.DataConversionWarning
