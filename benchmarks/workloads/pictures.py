"""W1, W2: second-order MAML on pictures. W6: its first-order relatives."""

from typing import Any

from benchmarks import machine
from benchmarks.claim import Claim, Workload
from benchmarks.contest import Allocator, Contender
from benchmarks.workloads import sides

_MAML, _REPTILE = "benchmarks.ours:maml", "benchmarks.ours:reptile"
_BOTH: tuple[Allocator, ...] = ("default", "raised")
PLANS: dict[str, dict[str, Any]] = {
    "loop": {"name": "loop"},
    "threads": {"name": "threads"},
    "threads, channels last": {"name": "threads", "layout": "channels_last"},
    "threads, mixed": {"name": "threads", "layout": "mixed"},
    "threads, mixed, 4 at once": {"name": "threads", "layout": "mixed", "chunk": 4},
    "compile-query, 8 at once": {"name": "compile-query", "chunk": 8},
    "vmap, 8 at once": {"name": "vmap", "chunk": 8},
}
FEW = {k: v for k, v in PLANS.items() if k not in ("threads", "vmap, 8 at once")}


def _claims(contenders: tuple[Contender, ...], least: float, aim: float) -> tuple[Claim, ...]:
    """The first: ours as the command line runs it, theirs as they come."""
    return (
        Claim(
            said="learn2learn, better of 1 and 2 threads, default allocator",
            ours=sides.name(sides.LONG, "raised"),
            others=sides.names(contenders, "learn2learn", "default"),
            alternatives=sides.plans(contenders),
            least=least,
            aim=aim,
        ),
    )


def _same(contenders: tuple[Contender, ...], least: float, aim: float) -> tuple[Claim, ...]:
    return tuple(
        Claim(
            said=f"the same, {said} on both sides",
            ours=sides.name(sides.LONG, a),
            others=sides.names(contenders, "learn2learn", a),
            alternatives=sides.plans(contenders, a),
            least=least,
            aim=aim,
        )
        for a, said in (
            ("default", "glibc as it is"),
            ("raised", "raised thresholds"),
            ("jemalloc", "jemalloc"),
        )
        if a in sides.allocators()
    )


def _second_order(steps: int, least: tuple[float, float], aim: tuple[float, float], budget: float) -> Workload:
    options = {"problem": "omniglot", "tasks": 32, "steps": steps}
    inductive = Contender(
        name="auto, inductive, raised thresholds",
        make=_MAML,
        options=options | {"transductive": False},
        allocator="raised",
    )
    parallel = Contender(
        name="parallel-metalearn, vmap over 8", make="benchmarks.peers.metalearn:maml", options=options, threads=2
    )
    contenders = (
        *sides.auto(_MAML, options, sides.allocators()),
        inductive,
        *sides.pinned(_MAML, options, PLANS if steps == 1 else FEW),
        *sides.learn2learn(options, sides.allocators()),
        *((parallel,) if steps == 1 else ()),
    )
    return Workload(
        name=f"W1.{steps}",
        title=f"Omniglot Conv-4-64 stride 2, 5 ways 1 shot 15 queries, 32 tasks, MAML, inner steps: {steps}, with Adam",
        contenders=contenders,
        claims=(*_claims(contenders, least[0], aim[0]), *_same(contenders, least[1], aim[1])),
        budget=budget,
        flops=sides.name("loop", "raised"),
        note="Ours is transductive, as learn2learn is: the same arithmetic. Inductive is our default: one more pass "
        "over the support, for its statistics.",
    )


def _one(name: str, title: str, options: dict[str, Any], least: float, aim: float, **more: Any) -> Workload:
    contenders = (
        *sides.auto(_MAML, options, _BOTH),
        *sides.pinned(_MAML, options, FEW),
        *sides.learn2learn(options, _BOTH),
    )
    return Workload(
        name=name,
        title=title,
        contenders=contenders,
        claims=(*_claims(contenders, least, aim), *_informal(contenders)),
        flops=sides.name("loop", "raised"),
        **more,
    )


def _informal(contenders: tuple[Contender, ...]) -> tuple[Claim, ...]:
    """Told without being asked for: the same allocator on both sides."""
    return (
        Claim(
            said="the same, raised thresholds on both sides",
            ours=sides.name(sides.LONG, "raised"),
            others=sides.names(contenders, "learn2learn", "raised"),
            alternatives=sides.plans(contenders, "raised"),
        ),
    )


def _reptile() -> Workload:
    options = {"problem": "omniglot", "tasks": 32, "steps": 5}
    plans = {k: v for k, v in PLANS.items() if k in ("loop", "threads", "threads, channels last")}
    contenders = (
        *sides.auto(_REPTILE, options, _BOTH),
        *sides.pinned(_REPTILE, options, plans),
        *sides.learn2learn(options, _BOTH, "reptile"),
    )
    return Workload(
        name="W6.reptile",
        title="Reptile on W1, 5 inner steps of SGD, 32 tasks, with SGD, against clone and adapt without the query pass",
        contenders=contenders,
        claims=(*_claims(contenders, 3.0, 3.5), *_informal(contenders)),
        budget=30,
        flops=sides.name("loop", "raised"),
    )


def _processes() -> Workload:
    options = {"tasks": 32}
    make = "benchmarks.workloads.together:maml"
    pair = tuple(
        Contender(name=said, make=make, options=options, threads=1, processes=count)
        for said, count in (("1 process", 1), ("2 processes", 2))
    )
    return Workload(
        name="processes",
        title="two processes against one, W1 with 1 inner step, one thread each, gradients reduced over gloo",
        contenders=pair,
        claims=(Claim(said="one process", ours="2 processes", others=("1 process",), least=1.8, aim=1.95),),
        budget=20,
        same=False,
        note=f"On {machine.cores()} cores; what else runs on them is missing to the second process.",
    )


def _threads() -> Workload:
    """Whether a step waits for the slowest of OpenMP's threads after every operation, or of ours once."""
    options = {"problem": "omniglot", "tasks": 32}
    contenders = sides.pinned(_MAML, options, {"threads": PLANS["threads"], "loop": PLANS["loop"]})
    alone = Contender(
        name="loop, 1 thread", make=_MAML, options=options | {"plan": PLANS["loop"]}, allocator="raised", threads=1
    )
    ours, openmp = (c.name for c in contenders)
    return Workload(
        name="openmp",
        title="threads of ours, each with its tasks, against OpenMP's in every operation: W1, 1 inner step, with Adam",
        contenders=(*contenders, alone),
        claims=(
            Claim(said="OpenMP's threads", ours=ours, others=(openmp,), least=1.0),
            Claim(said="for comparison: one thread", ours=ours, others=(alone.name,)),
        ),
        budget=40,
        note="OpenMP's threads wait for each other after every operation, so that one which shares its core holds all "
        "of them: look at this row with one core taken (`--busy`).",
    )


WORKLOADS = (
    _second_order(1, (1.65, 1.4), (2.0, 2.0), 60),
    _second_order(5, (1.9, 1.7), (2.4, 2.3), 90),
    _one(
        "W1.max",
        "W1 with max-pooling, 8 tasks, 1 inner step, with Adam",
        {"problem": "omniglot, max-pool", "tasks": 8},
        2.0,
        2.3,
        budget=40,
    ),
    _one(
        "W2",
        "84 x 84 in colour, Conv-4-32 with max-pooling, 5 ways 5 shots 15 queries, 4 tasks, 5 inner steps, with Adam",
        {"problem": "84 x 84", "tasks": 4, "steps": 5},
        2.0,
        2.5,
        budget=100,
        rounds=4,
    ),
    _one(
        "W6.fomaml1",
        "FOMAML on W1, 1 inner step, 32 tasks, with Adam",
        {"problem": "omniglot", "tasks": 32, "first_order": True},
        1.65,
        2.0,
        budget=30,
    ),
    _one(
        "W6.fomaml5",
        "FOMAML on W1, 5 inner steps, 32 tasks, with Adam",
        {"problem": "omniglot", "tasks": 32, "steps": 5, "first_order": True},
        1.8,
        2.3,
        budget=40,
    ),
    _reptile(),
    _processes(),
    _threads(),
)
