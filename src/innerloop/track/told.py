"""Words for people from a tracker's process, past the noise of the tracker's own package, which goes into a file."""

import contextlib
import os
from pathlib import Path

_people = 2


def quiet(file: Path) -> None:
    """From now on what this process prints goes to the end of a file, but for what is told."""
    global _people
    _people = os.dup(2)
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def tell(message: str) -> None:
    """A line on the standard error of the training; nothing where that is gone."""
    with contextlib.suppress(OSError):  # a terminal that was closed
        os.write(_people, f"innerloop: {message}\n".encode())
