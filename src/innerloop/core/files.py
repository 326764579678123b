"""Files that are there whole or not at all, and errors a person can act on."""

import contextlib
import errno
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from innerloop.core.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_TEMPORARY = ".innerloop"
"""Ending of files that are being written, which nothing else has: what a dead process left is removed by it."""
_NAME = 50
"""Characters of a file's name that its temporary file repeats: with its own additions it must not become too long."""


def write(path: Path, content: bytes | str) -> None:
    """Replace `path` by `content`: a temporary file beside it, fsync, rename. An old file survives any failure.

    Raises:
        InputError: The folder cannot be written, or the disk is full.
    """
    data = content.encode() if isinstance(content, str) else content
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent, _prefix(path))
        handle, name = _temporary(path)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(name, 0o666 & ~_umask())
                if fcntl is None:
                    file.close()  # Windows renames nothing that is open
                os.replace(name, path)  # while the lock on it lasts, without which it would be swept away
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
    try:
        _sync_folder(path.parent)
    except OSError as error:
        raise InputError(
            f"{path} was written, but the disk does not confirm that it will last ({error.strerror or error}): check "
            "the disk, then do it again"
        ) from error


def share(path: Path) -> None:
    """Give a file that something else wrote for its owner alone the mode of any new file."""
    with writing(path):
        path.chmod(0o666 & ~_umask())


def share_folder(path: Path) -> None:
    """Give a folder that was made for its owner alone the mode of any new folder."""
    with writing(path):
        path.chmod(0o777 & ~_umask())


def append(path: Path, text: str) -> None:
    """Write at the end of a file, to the disk; a failure takes back what was added.

    Raises:
        InputError: It cannot be written, or the disk is full.
    """
    with writing(path), path.open("ab", buffering=0) as file:
        size, data = file.seek(0, os.SEEK_END), text.encode()
        try:
            while data:
                data = data[file.write(data) :]  # a disk that is nearly full takes a part
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)
            raise


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write `path` into one message."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot write {path}: {reason}. What was there before is unchanged; free some space or choose another "
            "folder"
        ) from error


def writable(folder: Path) -> None:
    """Make `folder` and prove that a file can be written in it, before hours are spent; what dead processes left goes.

    Raises:
        InputError: It cannot.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder, ".")
        handle, name = _temporary(folder / "writable")
        if fcntl is None:
            os.close(handle)  # Windows removes nothing that is open
            os.unlink(name)
            return
        try:
            os.unlink(name)  # while the lock on it lasts, without which another process would sweep it away first
        finally:
            os.close(handle)


def expanded(path: str | Path) -> Path:
    """A path with the home of a user who is named; a file may be called `~cat.png` as well."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # there is no such user
        return Path(path)


def entries(folder: Path) -> list[Path]:
    """What lies directly in a folder, in order; hidden files are passed over.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(
            f"cannot read the folder {folder}: {error.strerror or error}. Allow it to be read, or leave it out"
        ) from error


def is_folder(path: Path) -> bool:
    """Whether it is a folder, as far as one may look."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # no permission on the way there; a name that no file can have
        return False


def check_file(path: Path, instead: str) -> None:
    """Refuse a path that is no file.

    Args:
        path: As it was given.
        instead: What to do about it.

    Raises:
        InputError: It is a folder, or there is nothing.
    """
    if not is_file(path):
        raise InputError(f"{path} {'is a folder' if is_folder(path) else 'does not exist'}; {instead}")


def no_run(run: str | Path) -> InputError:
    """The error of a folder that holds no run."""
    several = any(Path(run).glob("seed-*/config.json"))
    seeds = "; it holds runs of several seeds: name one of them" if several else ""
    return InputError(f"{run} is not a run folder: config.json is missing ({os.strerror(errno.ENOENT)}){seeds}")


def is_file(path: Path) -> bool:
    """Whether it is a file, as far as one may look."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


State = tuple[int, int, int]


def state(path: Path) -> State | None:
    """What changes when a file is replaced or written to; None: there is none."""
    try:
        at = path.stat()
    except OSError:
        return None
    return at.st_ino, at.st_mtime_ns, at.st_size


@contextlib.contextmanager
def locked(path: Path, seconds: float = 60.0) -> Iterator[None]:
    """Keep other processes, and threads, from changing a file between reading and replacing it.

    The lock is on the file itself, so that nothing lies beside it: whoever waited looks whether the file is still the
    one that the name leads to. A file that is not there yet needs none, and systems without such locks go without.

    Args:
        path: The file. The thread that has it may lock it again.
        seconds: To wait for others.

    Raises:
        InputError: Another one still changes it.
    """
    held: dict[str, int] = _HELD.__dict__.setdefault("paths", {})
    name = os.path.realpath(path)
    if name in held:
        yield
        return
    handle = _locked(path, time.monotonic() + seconds)
    held[name] = 1
    try:
        yield
    finally:
        del held[name]
        if handle is not None:
            os.close(handle)  # which unlocks it


_HELD = threading.local()
_PAUSE = 0.02


def _locked(path: Path, deadline: float) -> int | None:
    if fcntl is None:  # Windows, where a file that is open cannot be replaced anyway
        return None
    while True:
        try:
            handle = os.open(path, os.O_RDONLY)
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            if time.monotonic() > deadline:
                raise InputError(f"{path} is being changed by another process: try again when it is done") from error
            time.sleep(_PAUSE)
            continue
        except OSError:  # a file system without locks
            os.close(handle)
            return None
        here = os.fstat(handle)
        there = state(path)
        if there is not None and there[0] == here.st_ino:
            return handle
        os.close(handle)  # it was replaced while this one waited


def _prefix(path: Path) -> str:
    return f".{path.name[:_NAME]}."


def _temporary(path: Path) -> tuple[int, str]:
    """A new file beside `path`, open and locked: as long as it is, its process lives."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path), suffix=_TEMPORARY)
        if fcntl is None:
            return handle, name
        with contextlib.suppress(OSError):  # a file system without locks, on which nothing is swept either
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, name
        os.close(handle)  # swept away before it was locked


def _sweep(folder: Path, prefix: str) -> None:
    """Remove temporary files of processes that are gone; what cannot be removed stays."""
    with contextlib.suppress(OSError):  # a folder that may be written in need not be listed
        for name in os.listdir(folder):
            if name.startswith(prefix) and name.endswith(_TEMPORARY):
                _remove_dead(os.path.join(folder, name))


def _remove_dead(name: str) -> None:
    with contextlib.suppress(OSError):
        if fcntl is None:
            os.unlink(name)  # which fails while it is open
            return
        handle = os.open(name, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(name)
        finally:
            os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows, where a rename needs no more
        return
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # it may be written in, and not be read
        return
    try:
        os.fsync(handle)  # the rename itself reaches the disk
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems keep folders in their own way
            raise
    finally:
        os.close(handle)
