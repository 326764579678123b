"""Plain Python values for what people write instead: NumPy scalars for numbers, lists for tuples."""

from dataclasses import fields
from typing import Any


def plain(value: Any) -> Any:
    """The value with NumPy scalars as numbers and lists as tuples, also inside of tuples."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:  # core imports no NumPy
        return value.item()
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return tuple(plain(v) for v in value)
    return value


def normalise(instance: Any) -> None:
    """Make the fields of a dataclass plain: it is hashed, compared, and kept as JSON."""
    for f in fields(instance):
        value = getattr(instance, f.name, None)
        if (new := plain(value)) is not value:
            object.__setattr__(instance, f.name, new)


def is_whole(value: Any, least: int | None = None) -> bool:
    """Whether a value is an integer, none of the two that are called False and True, and large enough if asked."""
    return isinstance(value, int) and not isinstance(value, bool) and (least is None or value >= least)
