"""Memory that is freed is kept for the next tensor: glibc gives large blocks back, and every use of new ones faults.

A meta-step allocates and frees hundreds of megabytes in blocks that are the same in every step. By default glibc maps
blocks of more than some 128 KiB to 32 MiB afresh and returns the top of its heap, so the kernel clears the same pages
again and again: measured, up to half of the time of batched plans.
"""

import ctypes
import os
import sys

_MMAP_THRESHOLD, _TOP_PAD, _TRIM_THRESHOLD = -3, -2, -1  # of mallopt(3)
_LARGEST = 2**31 - 1
_TWO_HEAPS = 128 << 20  # threads have heaps of 64 MiB, and return an empty one unless so much is to be spare
_LARGEST_BEFORE_2_35 = 32 << 20  # older versions refuse to keep larger blocks
_OWN_CHOICE = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_")
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
    mapped = any(libc.mallopt(_MMAP_THRESHOLD, most) == 1 for most in (_LARGEST, _LARGEST_BEFORE_2_35))
    kept = [libc.mallopt(*option) == 1 for option in ((_TRIM_THRESHOLD, _LARGEST), (_TOP_PAD, _TWO_HEAPS))]
    return mapped and all(kept)
