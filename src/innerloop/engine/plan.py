"""The ways of running a learner. Which of them is fastest here is found by `engine.choose`."""

from dataclasses import dataclass
from typing import Literal

import torch

from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked, Natural
from innerloop.core.threads import cores

NAMES = ("loop", "threads", "vmap", "replay", "compile", "compile-query")
Name = Literal["loop", "threads", "vmap", "replay", "compile", "compile-query"]
Layout = Literal["contiguous", "channels_last", "mixed"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Plan(Checked):
    """A pinned way of running; it changes no meta-gradient beyond float rounding, except in bfloat16."""

    name: str
    """loop: one task after another. threads: chunks of tasks over Python threads, one intra-op thread each. vmap:
    chunks of tasks at once. replay: a vmapped chunk, traced once, its operators called without Python's overhead.
    compile: the same trace, compiled. These two hold the meta-optimizer as well where one chunk holds all tasks.
    compile-query: threads with the layout mixed, where what is done with a query is compiled once for all tasks."""
    chunk: Natural = 0
    """Tasks at once under vmap; memory grows with it. 1: no vmap. 0: 1 for loop, threads and compile-query, else as
    many as there are."""
    threads: Natural = 0
    """Python threads that take chunks; 0: for threads and compile-query as many as this process may use cores, else
    1."""
    layout: Layout = "contiguous"
    """Layout of pictures in memory. mixed: the support as it is, the query in channels last and apart from the graph of
    the inner steps, through which its gradient is then pulled back."""
    precision: Precision = "float32"
    """bfloat16: autocast, for learners that declare `low_precision`."""
    recompute: bool = False
    """Throw away the graphs of the first inner steps, and make them again in the backward pass: `core.recompute`."""
    one_core: bool = False
    """Compute every operator on one core, in replay and compile without Python threads: small ones take as long as on
    several, whose threads wait for each other after every operator, and up to a hundred times as long where another
    program has a core."""

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise InputError(f"there is no plan '{self.name}': use auto, {', '.join(NAMES)}")
        if self.recompute and (self.name not in ("loop", "threads") or self.chunk > 1):
            raise InputError("recompute works task by task: with the plans loop and threads, and without a chunk")
        if self.one_core and not (self.traced and self.threads < 2):
            raise InputError(f"one_core is for replay and compile without threads; {self.name} has a core for each")
        if self.name == "compile-query":
            if self.layout == "channels_last":
                raise InputError("compile-query has the layout mixed: leave out channels_last, or use compile with it")
            object.__setattr__(self, "layout", "mixed")
        if self.chunk == 0 and self.name in ("loop", "threads", "compile-query"):
            # Defaults are resolved here, so that equal ways of running are equal plans: they key what was recorded.
            object.__setattr__(self, "chunk", 1)
        if self.name == "loop" and self.chunk > 1:
            raise InputError(f"the plan loop runs one task at a time, got chunk={self.chunk}: use vmap or threads")
        if self.threads == 0:
            several = self.name in ("threads", "compile-query")
            object.__setattr__(self, "threads", cores() if several else 1)

    @property
    def traced(self) -> bool:
        """Whether the operators of a whole chunk are recorded once and called again."""
        return self.name in ("replay", "compile")

    @property
    def compiled(self) -> bool:
        """Whether a compiler is needed."""
        return self.name in ("compile", "compile-query")

    @property
    def together(self) -> int:
        """Tasks whose graphs are in memory at the same time, where a chunk is given."""
        return max(1, self.chunk) * self.threads

    def __str__(self) -> str:
        parts = [self.name]
        if self.chunk > 1:
            parts.append(f"{self.chunk} tasks at once")
        if self.threads > 1:
            parts.append(f"{self.threads} threads")
        parts += [self.layout.replace("_", " ")] if self.layout != "contiguous" and self.name != "compile-query" else []
        parts += [self.precision] if self.precision != "float32" else []
        parts += ["recomputing inner steps"] if self.recompute else []
        parts += ["one core"] if self.one_core else []
        return ", ".join(parts)


def free_memory(device: torch.device) -> int:
    """Bytes that may still be taken on a device; where nobody tells, 4 GiB."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    # A container may be given less than the host has, and is killed when it takes more.
    limits = [_limit_left("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"), _available()]
    return min((n for n in limits if n is not None), default=4 << 30)


def _limit_left(limit: str, used: str) -> int | None:
    try:
        with open(limit) as most, open(used) as now:
            return int(most.read()) - int(now.read())
    except (OSError, ValueError):  # no such limit, or "max"
        return None


def _available() -> int | None:
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None
