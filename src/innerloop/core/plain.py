"""Plain Python values for what people write instead: NumPy scalars for numbers, lists for tuples."""

from dataclasses import fields
from typing import Any


def plain(value: Any) -> Any:
    """The value with NumPy scalars as numbers and lists as tuples, also inside of tuples."""
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return tuple(plain(v) for v in value)
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:  # core imports no NumPy
        number: Any = value
        return number.item()
    return value


def normalise(instance: Any) -> None:
    """Make the fields of a dataclass plain: it is hashed, compared, and kept as JSON."""
    for f in fields(instance):
        value = getattr(instance, f.name, None)
        if (new := plain(value)) is not value:
            object.__setattr__(instance, f.name, new)
