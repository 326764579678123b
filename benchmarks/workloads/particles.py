"""What several particles cost: one meta-step of Bayesian MAML beside MAML, by each plan."""

from benchmarks.claim import Claim, Workload
from benchmarks.contest import Contender

_PROBLEM = {"problem": "sinusoid, 3 layers", "tasks": 10}
_MAML = "MAML"
_PARTICLES = {f"{n} particle{'s' if n > 1 else ''}": n for n in (1, 5, 10)}


def _workload(plan: str) -> Workload:
    options = _PROBLEM | {"plan": {"name": plan}}
    ours = tuple(
        Contender(name=name, make="benchmarks.ours:bmaml", options=options | {"particles": count}, threads=1)
        for name, count in _PARTICLES.items()
    )
    return Workload(
        name=f"particles.{plan}",
        title=f"Bayesian MAML beside MAML, sinusoids, MLP 40-40-40, 10 tasks, by the plan {plan}, with Adam",
        contenders=(Contender(name=_MAML, make="benchmarks.ours:maml", options=options, threads=1), *ours),
        claims=tuple(
            Claim(said=f"{what} of MAML, {name}", ours=name, others=(_MAML,), what=what)
            for what in ("time", "memory")
            for name in _PARTICLES
        ),
        budget=20,
        rounds=9,
        same=False,
    )


WORKLOADS = tuple(_workload(plan) for plan in ("loop", "vmap", "replay", "compile"))
