"""What a machine is, what it can do at best, and what others do on it meanwhile."""

import glob
import os
import platform
import time
from importlib import metadata
from pathlib import Path

import torch

from innerloop.core.threads import cores

BUSY = 0.12
"""Share of the machine's cores in use by others above which a round is drawn again, and ratios mean nothing."""
_PACKAGES = ("torch", "learn2learn", "higher", "torchopt", "easyfsl", "parallel-metalearn", "jax", "optax", "innerloop")
_SIZE = 2048


def describe() -> dict[str, str]:
    """Processor, cores and versions, in words."""
    found = {"processor": processor(), "cores": str(cores()), "Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def processor() -> str:
    """The processor's name, as far as the system tells."""
    if os.path.exists("/proc/cpuinfo"):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def sgemm(seconds: float = 1.0) -> float:
    """Multiply-adds counted as two, a second, of float32 matrices on all cores: the best of many tries."""
    a, b, best = torch.randn(_SIZE, _SIZE), torch.randn(_SIZE, _SIZE), float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return 2 * _SIZE**3 / best


def jemalloc() -> str | None:
    """Where the library lies, if it is installed."""
    found = sorted(glob.glob("/usr/lib/*/libjemalloc.so.2") + glob.glob("/usr/lib*/libjemalloc.so.2"))
    return found[0] if found else None


def elsewhere(children: float = 0.0) -> float | None:
    """CPU seconds since boot of all but this process and its children, stolen ones included.

    Args:
        children: What living children have used (see `cpu_seconds`).

    Returns:
        None where the system does not tell.
    """
    if not os.path.exists("/proc/stat"):
        return None
    ticks = [int(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle, waiting, mine = ticks[3], ticks[4], os.times()
    ours = mine.user + mine.system + children
    return (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK") - ours


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a living process, all of its threads; 0 where the system does not tell."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def share(before: float | None, after: float | None, seconds: float) -> float | None:
    """Of the machine, used by others in the `seconds` between two readings of `elsewhere`."""
    if before is None or after is None:
        return None
    return max(0.0, after - before) / (seconds * (os.cpu_count() or 1))


def noise(before: float | None, after: float | None, seconds: float) -> str:
    """`share` as a sentence."""
    found = share(before, after, seconds)
    if found is None:
        return "How busy the machine was otherwise is not known."
    said = f"Other processes used {found:.0%} of the processor meanwhile"
    return f"**{said}: quote none of these ratios, measure again on an idle machine.**" if found > BUSY else f"{said}."
