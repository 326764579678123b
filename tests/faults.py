"""A fault injector: counts what a process writes below a folder, and kills it, or fills the disk, at one of the writes.

Counted are opening to write, fsync, rename and removal: between two of them nothing changes that lasts.
"""

import builtins
import errno
import io
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["count", "before", "after", "torn", "full", "broken"]
"""count: only count. before, after: SIGKILL before or after the write. torn: SIGKILL at an fsync, with the last bytes
lost. full, broken: this write and all that follow fail, as on a full disk or a damaged one."""
_ERRORS = {"full": errno.ENOSPC, "broken": errno.EIO}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Outcome:
    """How the process ended."""

    status: int
    """Exit status; below 0: the signal that ended it."""
    writes: str
    """A letter for each that it began: o opens a file to write, f is an fsync of one, - anything else."""
    printed: str
    """On standard output and error."""


@dataclass
class _Injector:
    folder: str
    kind: Kind
    at: int
    tally: str
    writes: str = ""

    def watch(self, name: str, owner: Any, path_of: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            path = path_of(*args, **kwargs)
            if path is None or not f"{os.path.abspath(os.fsdecode(path))}{os.sep}".startswith(self.folder):
                return original(*args, **kwargs)
            self._begin(name, args[0])
            result = original(*args, **kwargs)
            if self.kind == "after" and len(self.writes) == self.at:
                self._die()
            return result

        setattr(owner, name, wrapped)

    def _begin(self, name: str, target: Any) -> None:
        is_file = name == "fsync" and os.path.isfile(_name(target))
        self.writes += "o" if name == "open" else "f" if is_file else "-"
        tally = _os_open(self.tally, os.O_WRONLY | os.O_CREAT)
        os.write(tally, self.writes.encode())
        os.close(tally)
        if self.kind in _ERRORS and len(self.writes) >= self.at:
            number = _ERRORS[self.kind]
            raise OSError(number, os.strerror(number))
        if len(self.writes) != self.at:
            return
        if self.kind == "torn" and is_file:
            os.truncate(_name(target), max(0, os.fstat(target).st_size - 3))
            self._die()
        if self.kind == "before":
            self._die()

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


_os_open = os.open


def _name(handle: int) -> str:
    return os.readlink(f"/proc/self/fd/{handle}")


def _opened(path: Any, mode: str = "r", *_: Any, **__: Any) -> Any:
    return path if isinstance(path, str | bytes | os.PathLike) and set("wax+") & set(mode) else None


def _run(action: Callable[..., int], arguments: tuple[Any, ...], injector: _Injector, log: str) -> None:
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    for name in ("replace", "rename"):
        injector.watch(name, os, lambda source, target, **_: target)
    for name in ("unlink", "remove"):
        injector.watch(name, os, lambda path, **_: path)
    injector.watch("fsync", os, _name)
    injector.watch("open", os, lambda path, flags, *_, **__: path if flags & _WRITING else None)
    injector.watch("open", io, _opened)
    builtins.open = io.open
    try:
        status = action(*arguments)
    except BaseException:
        traceback.print_exc()
        status = 99
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def run(action: Callable[..., int], *arguments: Any, folder: Path, kind: Kind = "count", at: int = 0) -> Outcome:
    """Run `action(*arguments)` in a process of its own, with a fault.

    Args:
        action: Importable; returns the exit status.
        arguments: To pickle.
        folder: Writes below it are counted.
        kind: What happens.
        at: At which write, counted from 1.
    """
    context = multiprocessing.get_context("forkserver")  # forks from a process that has no threads
    context.set_forkserver_preload(["tests.faults_preload"])
    beside = folder.parent / f"{folder.name}-fault"
    tally, log = f"{beside}.tally", f"{beside}.log"
    Path(tally).unlink(missing_ok=True)
    injector = _Injector(os.path.abspath(folder) + os.sep, kind, at, tally)
    process = context.Process(target=_run, args=(action, arguments, injector, log))
    process.start()
    process.join(300)
    assert process.exitcode is not None, "it hangs"
    writes = Path(tally).read_text() if Path(tally).exists() else ""
    return Outcome(process.exitcode, writes, Path(log).read_text())
