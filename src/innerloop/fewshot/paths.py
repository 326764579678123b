"""Where a file of `adapt` is; a mistake in its name is told before torch is imported."""

import os
from collections.abc import Callable
from pathlib import Path

from innerloop.core import files
from innerloop.core.errors import InputError


def named(name: str | os.PathLike[str]) -> Path:
    """The path that somebody names a file by.

    Raises:
        InputError: No file can have that name.
    """
    if not isinstance(name, str | os.PathLike) or "\0" in str(name) or not str(name):
        raise InputError(f"a file is named by a text or a path, such as 'mine.fewshot'; got {name!r}")
    return Path(name)


def existing(name: str | os.PathLike[str]) -> Path:
    """The path of a file that is there.

    Raises:
        InputError: It is not, or is a folder.
    """
    path = named(name)
    files.check_file(path, "give a file that `innerloop adapt` wrote")
    return path


Seen = tuple[str, files.State | None]
"""A file, and what it was like."""


def seen(path: Path) -> Seen:
    """A file as it is now; its place does not depend on the folder that one works in."""
    return os.path.realpath(path), files.state(path)


def replaced(path: Path, before: Seen | None, write: Callable[[], None]) -> Seen:
    """Write a file again, unless another has changed it.

    Args:
        path: The file.
        before: What was read, and when; None: nothing was.
        write: Writes it whole.

    Returns:
        What it is like now.

    Raises:
        InputError: It is no longer what was read, or cannot be written.
    """
    with files.locked(path):
        now = seen(path)
        if before is not None and before[0] == now[0] and before != now:
            wrong = f"{path} was changed by another since it was read, which would be lost"
            raise InputError(f"{wrong}: load it again, or save under another name")
        write()
        return seen(path)
