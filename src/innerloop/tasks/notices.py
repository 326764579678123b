"""What readers say that is no error, in one line each: as a warning, unless the caller takes it elsewhere."""

import warnings
from collections.abc import Callable

Say = Callable[[str], None]


def warn(message: str) -> None:
    """Say it as Python's warnings are: on standard error, once."""
    warnings.warn(message, stacklevel=3)
