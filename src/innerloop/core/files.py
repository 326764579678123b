"""Files that are there whole or not at all, and errors a person can act on."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from innerloop.core.errors import InputError


def write(path: Path, content: bytes | str) -> None:
    """Replace `path` by `content`: a temporary file beside it, fsync, rename. An old file survives any failure.

    Raises:
        InputError: The folder cannot be written, or the disk is full.
    """
    data = content.encode() if isinstance(content, str) else content
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise
        _sync_folder(path.parent)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write `path` into one message."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}. What was there before is unchanged; free some space "
            "or choose another folder"
        ) from error


def writable(folder: Path) -> None:
    """Make `folder` and prove that a file can be written in it, before hours are spent.

    Raises:
        InputError: It cannot.
    """
    probe = folder / ".writable"
    write(probe, b"")
    probe.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    if hasattr(os, "O_DIRECTORY"):  # the rename itself reaches the disk (not on Windows)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
