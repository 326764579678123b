"""Memory that is freed is kept for the next tensor: glibc gives large blocks back, and every use of new ones faults.

A meta-step allocates and frees hundreds of megabytes in blocks that are the same in every step. By default glibc maps
blocks of more than some 128 KiB to 32 MiB afresh and returns the top of its heap, so the kernel clears the same pages
again and again: measured, up to half of the time of batched plans.
"""

import ctypes
import os
import sys

_MMAP_THRESHOLD = -3  # of mallopt(3), as in _OPTIONS
_LARGEST = 2**31 - 1
_LARGEST_ONCE = 32 << 20  # older versions refuse a higher threshold
_OPTIONS = (
    (-1, _LARGEST),  # M_TRIM_THRESHOLD
    (-2, 64 << 20),  # M_TOP_PAD: grow in larger pieces
)
_OWN_CHOICE = tuple(
    f"MALLOC_{name}" for name in ("MMAP_THRESHOLD_", "TRIM_THRESHOLD_", "TOP_PAD_", "MMAP_MAX_", "ARENA_MAX")
)
_OTHER_ALLOCATORS = ("mallctl", "tc_malloc", "mi_malloc")
"""A function each of jemalloc, tcmalloc and mimalloc, which come by LD_PRELOAD."""


def keep_memory() -> bool:
    """Keep freed memory in this process, from now on; it holds on to its peak.

    Call it before the first tensor is made. The command line does, a library should leave that to the program; the same
    can be had by `MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=2147483647` in the environment.

    Returns:
        Whether something was changed: not on systems without glibc, under another allocator, or where the environment
        has settings of its own (`MALLOC_*`, `glibc.malloc` in `GLIBC_TUNABLES`).
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _OWN_CHOICE):
        return False
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version") or any(hasattr(libc, name) for name in _OTHER_ALLOCATORS):
        return False
    mapped = any(libc.mallopt(_MMAP_THRESHOLD, most) == 1 for most in (_LARGEST, _LARGEST_ONCE))
    others = [libc.mallopt(*option) == 1 for option in _OPTIONS]
    return mapped and all(others)
