"""The files of a store: the owner's alone, and the same ones as long as it is open."""

import logging
import os
from pathlib import Path

from innerloop.service.store.errors import LostError

_LOG = logging.getLogger("innerloop.service")
_BESIDE = ("", "-wal", "-shm")
"""A database, what was committed since its last checkpoint, and the index of that."""


class Watched:
    """Files of an open database, known by device and inode.

    SQLite goes on writing into files that were deleted or replaced, and says that all is well.

    Args:
        path: Of the database, which is open and was read from, so that the other files are there.
    """

    def __init__(self, path: Path):
        self._path = path
        self._known = self._present()

    def check(self) -> None:
        """Refuse to go on once one of them is another, or none.

        Raises:
            LostError: It is so.
        """
        present = self._present()
        gone = [name for name, file in self._known.items() if present[name] != file]
        if gone:
            raise LostError(
                f"{' and '.join(gone)} of the store {self._path.parent} {'was' if len(gone) == 1 else 'were'} deleted, "
                "moved or replaced while it was open: nothing is learned any more; download the tasks, put a backup in "
                "its place, and start the service again"
            )

    def _present(self) -> dict[str, tuple[int, int] | None]:
        return {self._path.name + suffix: _identity(f"{self._path}{suffix}") for suffix in _BESIDE}


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
