"""W3: second-order MAML on sinusoids, where Python's overhead is the work."""

from typing import Any

from benchmarks.claim import Claim, Workload
from benchmarks.contest import Contender
from benchmarks.workloads import sides

_MAML, _JAX = "benchmarks.ours:maml", "benchmarks.peers.jax:maml"
_EAGER: dict[str, dict[str, Any]] = {"loop": {"name": "loop"}, "vmap": {"name": "vmap"}, "replay": {"name": "replay"}}
_COMPILED: dict[str, dict[str, Any]] = {"compile": {"name": "compile"}}
SCANNED = 100


def _workload(steps: int, compiled: float, aim: float, scanned: tuple[float, float]) -> Workload:
    options = {"problem": "sinusoid", "tasks": 25, "steps": steps}
    one = Contender(name="compile, 1 thread", make=_MAML, options=options | {"plan": _COMPILED["compile"]}, threads=1)
    replay = Contender(name="replay, 1 thread", make=_MAML, options=options | {"plan": {"name": "replay"}}, threads=1)
    peers = tuple(
        Contender(name=said, make=f"benchmarks.peers.{module}:maml", options=options | more, threads=1)
        for said, module, more in (
            ("higher", "higher", {}),
            ("TorchOpt", "torchopt", {}),
            ("parallel-metalearn, vmap over 25", "metalearn", {"chunk": 25}),
        )
    )
    jax = (
        Contender(name="JAX jit", make=_JAX, options=options),
        Contender(name=f"JAX scan over {SCANNED} meta-steps", make=_JAX, options=options | {"scanned": SCANNED}),
    )
    theirs = sides.learn2learn(options)
    contenders = (
        *sides.auto(_MAML, options, ("default",)),
        *sides.pinned(_MAML, options, _EAGER | _COMPILED, "default"),
        one,
        replay,
        *theirs,
        *peers,
        *jax,
    )
    others = sides.names(theirs, "learn2learn")
    return Workload(
        name=f"W3.{steps}",
        title=f"sinusoids, MLP 40-40, 25 tasks of 10 shots and 10 queries, MAML, inner steps: {steps}, with Adam",
        contenders=contenders,
        claims=(
            Claim(
                said="learn2learn",
                ours=sides.LONG,
                others=others,
                alternatives=("compile", "compile, 1 thread", "replay"),
                least=compiled,
                aim=aim,
            ),
            Claim(
                said="learn2learn, ours eager",
                ours="replay",
                others=others,
                alternatives=("vmap", "replay, 1 thread"),
                least=12,
                aim=15,
            ),
            Claim(
                said="JAX jit with Adam inside, one call a meta-step on both sides",
                ours="compile",
                others=("JAX jit",),
                alternatives=("compile, 1 thread", sides.LONG),
                least=0.8,
                aim=1.0,
            ),
            Claim(
                said=f"JAX scan over {SCANNED} meta-steps a call",
                ours="compile",
                others=(jax[1].name,),
                alternatives=("compile, 1 thread", sides.LONG),
                least=scanned[0],
                aim=scanned[1],
            ),
            *(Claim(said=peer.name, ours=sides.LONG, others=(peer.name,)) for peer in peers),
        ),
        budget=30,
        rounds=15,
        flops="loop",
    )


WORKLOADS = (_workload(1, 45, 70, (1.0, 1.3)), _workload(5, 50, 70, (1.5, 2.0)))
