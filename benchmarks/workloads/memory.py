"""Memory of 20 inner steps against 1, with and without recomputation."""

from benchmarks.claim import Claim, Workload
from benchmarks.contest import Contender

_OPTIONS = {"problem": "omniglot", "tasks": 8}


def _contender(steps: int, recompute: bool) -> Contender:
    return Contender(
        name=f"{steps} inner step{'s' if steps > 1 else ''}{', recomputed' if recompute else ''}",
        make="benchmarks.ours:maml",
        options=_OPTIONS | {"steps": steps, "plan": {"name": "loop", "recompute": recompute}},
        allocator="raised",
        threads=1,
    )


_PAIRS = [(1, False), (1, True), (20, False), (20, True)]
WORKLOADS = (
    Workload(
        name="memory",
        title="memory, W1 with 8 tasks one after another: 20 inner steps against 1, with and without recomputation",
        contenders=tuple(_contender(*pair) for pair in _PAIRS),
        claims=(
            Claim(
                said="memory of 1 step without recomputation",
                ours="20 inner steps, recomputed",
                others=("1 inner step",),
                least=1.3,
                aim=1.1,
                what="memory",
            ),
            Claim(
                said="time of 20 steps without recomputation",
                ours="20 inner steps, recomputed",
                others=("20 inner steps",),
                least=1.15,
                aim=1.1,
                what="time",
            ),
            Claim(
                said="for comparison: memory of 20 steps without, to 1 step",
                ours="20 inner steps",
                others=("1 inner step",),
                what="memory",
            ),
        ),
        budget=25,
        rounds=5,
        same=False,
    ),
)
