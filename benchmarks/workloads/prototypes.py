"""W4: Prototypical Networks, one episode a step."""

from typing import Any

from benchmarks.claim import Claim, Workload
from benchmarks.contest import Allocator, Contender
from benchmarks.workloads import sides

_MAKE = "benchmarks.ours:protonet"
_PLANS: dict[str, dict[str, Any]] = {
    "loop": {"name": "loop"},
    "loop, channels last": {"name": "loop", "layout": "channels_last"},
    "loop, channels last, bfloat16": {"name": "loop", "layout": "channels_last", "precision": "bfloat16"},
}
_OPTIONS = {"problem": "20 ways, 5 shots"}
_ALLOCATORS = sides.allocators()


def _theirs(allocator: Allocator) -> tuple[Contender, ...]:
    return tuple(
        Contender(
            name=sides.name(said, allocator),
            make="benchmarks.peers.easyfsl:protonet",
            options=_OPTIONS,
            threads=threads,
            allocator=allocator,
        )
        for threads, said in ((1, "easyfsl, 1 thread"), (2, "easyfsl, 2 threads"))
    )


_CONTENDERS = (
    *sides.auto(_MAKE, _OPTIONS, _ALLOCATORS),
    *(c for a in _ALLOCATORS for c in sides.pinned(_MAKE, _OPTIONS, _PLANS, a)),
    *(c for a in _ALLOCATORS for c in _theirs(a)),
)
_SAID: dict[Allocator, str] = {"default": "glibc as it is", "raised": "raised thresholds", "jemalloc": "jemalloc"}

WORKLOADS = (
    Workload(
        name="W4",
        title="ProtoNet, 20 ways 5 shots 5 queries, Conv-4-64 with max-pooling, 1 episode a step, with Adam",
        contenders=_CONTENDERS,
        claims=(
            *(
                Claim(
                    said=f"easyfsl, better of 1 and 2 threads, {_SAID[a]} on both sides",
                    ours=sides.name(sides.LONG, a),
                    others=sides.names(_CONTENDERS, "easyfsl", a),
                    alternatives=(sides.name("loop, channels last", a),),
                    least=2.0 if a == "default" else 1.3,
                    aim=2.5 if a == "default" else 1.6,
                )
                for a in _ALLOCATORS
            ),
            *(
                Claim(
                    said=f"the same, ours in bfloat16, {_SAID[a]}",
                    ours=sides.name("loop, channels last, bfloat16", a),
                    others=sides.names(_CONTENDERS, "easyfsl", a),
                    least=3.5 if a == "default" else 2.3,
                    aim=4.5 if a == "default" else 3.0,
                )
                for a in _ALLOCATORS
            ),
        ),
        budget=40,
        rounds=15,
        flops=sides.name("loop", "default"),
        note="bfloat16 is told apart: its gradient differs (see the paired accuracy in `bf16`). Both sides use the "
        "statistics of support and query apart; easyfsl's distance is a root, ours is squared, so losses differ.",
        same=False,
    ),
)
