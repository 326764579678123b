"""Processes that share the work of one command, each on its share of the cores."""

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from innerloop.core import files, threads
from innerloop.core.complaints import complain, hush, hushed
from innerloop.core.errors import FailedError, InputError


def in_processes(workers: int, work: Callable[..., None], *arguments: Any) -> None:
    """Have processes work until all of them have ended; they end when this one does.

    One that was killed, or failed, leaves its work to whoever asks next, such as the caller; that is told.

    Args:
        workers: How many.
        work: At the top of a module; called in each process with the arguments.
        arguments: As `pickle` can pass them on.

    Raises:
        InputError: One of them could not go on.
        KeyboardInterrupt: One of them was interrupted.
    """
    spawn, cores = multiprocessing.get_context("spawn"), max(1, threads.cores() // workers)
    given = (cores, hushed(), work, arguments)
    processes = [spawn.Process(target=_process, args=given, daemon=True) for _ in range(workers)]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join()
    finally:
        for process in processes:
            with suppress(OSError, ValueError):
                process.terminate()  # by a signal that has trainings saved
        for process in processes:
            process.join()
    # One that says no stops all.
    codes = [process.exitcode for process in processes]
    if any(code == InputError.code for code in codes):
        raise InputError("a worker could not go on: its message is above")
    if any(code == 130 for code in codes):
        raise KeyboardInterrupt
    if lost := sum(code != 0 for code in codes):
        complain(f"{lost} of {workers} workers ended before their work was done: it goes on without them")


def wanted() -> bool:
    """Whether the command that started this process still lives, or this is the command itself."""
    parent = multiprocessing.parent_process()
    return parent is None or parent.is_alive()


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Keep the work in a folder from other processes while it lasts, by a lock beside it that ends with the process.

    Yields:
        Whether it is this process's; no: another one has it.
    """
    lock = folder.with_name(f"{folder.name}.lock")
    files.writable(lock.parent)
    lock.touch()
    with ExitStack() as held:
        try:
            held.enter_context(files.locked(lock, 0))
            mine = True
        except InputError:
            mine = False
        yield mine


def tell(message: str) -> None:
    """A line of a worker on standard error."""
    print(f"innerloop: {message}", file=sys.stderr)


def _process(cores: int, quiet: bool, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    if quiet:
        hush()
    if cores == 1:
        threads.stay_on_one_core()
    else:
        torch.set_num_threads(cores)
    try:
        work(*arguments)
    except (InputError, FailedError) as error:
        complain(str(error))
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.exit(130)
