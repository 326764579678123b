"""What standard error is for: what has to be known, and, unless `--quiet` asks for silence, how far things are."""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO

from innerloop.core.names import printable

_LINES = "\n\t"
_KEPT: list[TextIO] = []
"""Standard error, while something else stands in its place."""


def complain(message: str) -> None:
    """Say on standard error, quiet or not, what went wrong in something that goes on, as a line of this program."""
    print(f"innerloop: {printable(message, keep=_LINES)}", file=_KEPT[-1] if _KEPT else sys.stderr, flush=True)


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """On leaving, standard error and warnings are as they were, whatever `hush` did."""
    before, shown, count = sys.stderr, warnings.showwarning, len(_KEPT)
    try:
        yield
    finally:
        if len(_KEPT) > count:
            sys.stderr.close()
            sys.stderr, warnings.showwarning = before, shown
            del _KEPT[count:]


def hush() -> None:
    """Drop what this process says on standard error from now on, but for complaints and warnings."""
    _KEPT.append(sys.stderr)
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until `restored` closes it
    warnings.showwarning = _show


def hushed() -> bool:
    """Whether it does; a process that this one starts does not know of it."""
    return bool(_KEPT)


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    (file or _KEPT[-1]).write(warnings.formatwarning(message, category, filename, lineno, line))  # pyright: ignore[reportArgumentType]
