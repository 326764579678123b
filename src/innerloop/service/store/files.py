"""The files of a store: the owner's alone, and the same ones as long as it is open."""

import contextlib
import logging
import os
import re
from pathlib import Path

from innerloop.service.store.errors import LostError

_LOG = logging.getLogger("innerloop.service")
_BESIDE = ("", "-wal", "-shm")
"""A database, what was committed since its last checkpoint, and the index of that."""

ANNOTATIONS = "label-studio.sqlite"
"""What was learned of annotations of Label Studio."""
_OURS = re.compile(r"(store|recent|label-studio)\.sqlite(-wal|-shm|-journal)?")
_OTHERS = 0o077
"""What a mode lets other users do."""


def make_private(path: Path) -> None:
    """Have a database and its folder, with what is there of a store already, be the owner's alone.

    SQLite gives its other files the mode of the database, whatever the umask.

    Raises:
        OSError: They cannot be made.
    """
    folder = path.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Made with its mode: one that is closed afterwards can be opened by others before.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    # Elsewhere a mode does not say who may read.
    if os.name != "posix":
        return
    entries = list(folder.iterdir())
    ours = [entry for entry in entries if _OURS.fullmatch(entry.name)]
    closed = [file.name for file in ours if _close(file, 0o600)]
    # A folder that holds other things may be shared on purpose.
    if len(ours) == len(entries):
        closed += ["the folder"] if _close(folder, 0o700) else []
    elif folder.stat().st_mode & _OTHERS:
        _LOG.warning("the folder %s holds other files as well: it stays open to others, its store does not", folder)
    if closed:
        _LOG.warning("the store %s was open to other users: closed %s", folder, ", ".join(sorted(closed)))


def _close(path: Path, mode: int) -> bool:
    try:
        if not path.stat().st_mode & _OTHERS:
            return False
        path.chmod(mode)
    except FileNotFoundError:  # of another worker, which deleted it
        return False
    except PermissionError:
        _LOG.warning("%s is open to other users, and belongs to somebody else, who can close it", path)
        return False
    return True


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
    # Size and time change with every commit.
    return status.st_dev, status.st_ino
