"""The two sides of most workloads: our plans, and learn2learn on one and on two threads."""

from collections.abc import Iterable
from typing import Any

from benchmarks import machine
from benchmarks.contest import Allocator, Contender

LONG = "auto, long run"
"""The engine's own choice for a run that is long enough to compile for."""
SAID: dict[Allocator, str] = {"default": "", "raised": ", raised thresholds", "jemalloc": ", jemalloc"}


def allocators() -> tuple[Allocator, ...]:
    """Those that this machine has."""
    return ("default", "raised", "jemalloc") if machine.jemalloc() else ("default", "raised")


def name(side: str, allocator: Allocator = "default") -> str:
    """How tables call a contender."""
    return f"{side}{SAID[allocator]}"


def auto(make: str, options: dict[str, Any], where: Iterable[Allocator]) -> tuple[Contender, ...]:
    """The engine's own choice, for a run of unknown length and for a long one, under each allocator."""
    return tuple(
        Contender(name=name(said, a), make=make, options=options | more, allocator=a, plan=said)
        for said, more in (("auto", {}), (LONG, {"long": True}))
        for a in where
    )


def pinned(
    make: str, options: dict[str, Any], plans: dict[str, dict[str, Any]], allocator: Allocator = "raised"
) -> tuple[Contender, ...]:
    """Plans by the name that tables give them."""
    return tuple(
        Contender(
            name=name(said, allocator), make=make, options=options | {"plan": plan}, allocator=allocator, plan=said
        )
        for said, plan in plans.items()
    )


def learn2learn(
    options: dict[str, Any], where: Iterable[Allocator] = ("default",), what: str = "maml"
) -> tuple[Contender, ...]:
    """On one and on two threads: which is better depends on the sizes."""
    make = f"benchmarks.peers.learn2learn:{what}"
    return tuple(
        Contender(name=name(said, a), make=make, options=options, allocator=a, threads=threads)
        for a in where
        for threads, said in ((1, "learn2learn, 1 thread"), (2, "learn2learn, 2 threads"))
    )


def names(contenders: Iterable[Contender], start: str, allocator: Allocator | None = None) -> tuple[str, ...]:
    """Of those whose name starts so."""
    return tuple(c.name for c in contenders if c.name.startswith(start) and allocator in (None, c.allocator))


def plans(contenders: Iterable[Contender], allocator: Allocator | None = None) -> tuple[str, ...]:
    """Names of our pinned plans."""
    return tuple(c.name for c in contenders if c.plan not in ("", "auto", LONG) and allocator in (None, c.allocator))
