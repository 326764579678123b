"""Where a file of `adapt` is; a mistake in its name is told before torch is imported."""

import os
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
