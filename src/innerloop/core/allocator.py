"""Memory that is freed is kept for the next tensor: glibc gives large blocks back, and every use of new ones faults.

A meta-step allocates and frees hundreds of megabytes in blocks that are the same in every step. By default glibc maps
blocks of more than some 128 KiB to 32 MiB afresh and returns the top of its heap, so the kernel clears the same pages
again and again: measured, up to half of the time of batched plans.
"""

import ctypes
import os
import sys
from typing import Any

_LARGEST = 2**31 - 1
_LARGEST_ONCE = 32 << 20
"""Older versions refuse a higher threshold for mapping."""
_SETTINGS = {
    "MMAP_THRESHOLD_": (-3, _LARGEST),  # number of mallopt(3), and value
    "TRIM_THRESHOLD_": (-1, _LARGEST),
    "TOP_PAD_": (-2, 64 << 20),  # grow in larger pieces
}
_OWN_CHOICE = tuple(f"MALLOC_{name}" for name in (*_SETTINGS, "MMAP_MAX_", "ARENA_MAX"))
_OTHER_ALLOCATORS = ("mallctl", "tc_malloc", "mi_malloc")
"""A function each of jemalloc, tcmalloc and mimalloc, which come by LD_PRELOAD."""
_kept = False


def keep_memory() -> bool:
    """Keep freed memory in this process, from now on; it holds on to its peak.

    Call it before the first tensor is made. The command line does, a library should leave that to the program; the same
    can be had by what `environment` returns.

    Returns:
        Whether something was changed: not on systems without glibc, under another allocator, or where the environment
        has settings of its own (`MALLOC_*`, `glibc.malloc` in `GLIBC_TUNABLES`).
    """
    global _kept
    libc = _untouched_glibc()
    if libc is None:
        return False
    told = [libc.mallopt(*setting) == 1 for setting in _SETTINGS.values()]
    if not told[0]:
        told[0] = libc.mallopt(_SETTINGS["MMAP_THRESHOLD_"][0], _LARGEST_ONCE) == 1
    _kept = all(told)
    return _kept


def environment() -> dict[str, str]:
    """The variables that a process is started with to keep its memory as by `keep_memory`."""
    return {f"MALLOC_{name}": str(value) for name, (_, value) in _SETTINGS.items()}


def gives_back() -> bool:
    """Whether this process gives memory back that `keep_memory` would have kept."""
    return not _kept and _untouched_glibc() is not None


def _untouched_glibc() -> Any:
    """The C library, where it is glibc with its own allocator and nobody has set that up; else None."""
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _OWN_CHOICE):
        return None
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return None
    libc = ctypes.CDLL(None)
    foreign = not hasattr(libc, "gnu_get_libc_version") or any(hasattr(libc, name) for name in _OTHER_ALLOCATORS)
    return None if foreign else libc
