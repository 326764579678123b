"""A program written for learn2learn, with its import changed; and what one more line buys."""

from typing import Any

from benchmarks.claim import Claim, Workload
from benchmarks.contest import Contender
from benchmarks.workloads import sides
from benchmarks.workloads.sampling import COUNT, DATA, TASK

_COMPAT, _PEER = "compat, 1 thread", "learn2learn, 1 thread"


def _workload(name: str, title: str, options: dict[str, Any], made: tuple[str, str], **more: Any) -> Workload:
    further = more.pop("further", ())
    pairs = zip((_COMPAT, _PEER), made, strict=True)
    contenders = tuple(Contender(name=said, make=make, options=options, threads=1) for said, make in pairs)
    claims = [Claim(said="learn2learn, only the import changed", ours=_COMPAT, others=(_PEER,), least=1.0, aim=1.2)]
    claims += [Claim(said="the same learner by meta_train", ours=sides.LONG, others=(_COMPAT,))] if further else []
    return Workload(
        name=f"switch.{name}", title=title, contenders=(*contenders, *further), claims=tuple(claims), rounds=15, **more
    )


def _maml(name: str, title: str, options: dict[str, Any]) -> Workload:
    onwards = Contender(name=sides.LONG, make="benchmarks.ours:maml", options=options | {"long": True}, plan=sides.LONG)
    made = ("benchmarks.one_by_one:switched", "benchmarks.peers.learn2learn:maml")
    return _workload(name, title, options, made, budget=30, further=(onwards,))


_EPISODES = ("benchmarks.one_by_one:switched_episodes", "benchmarks.peers.learn2learn:episodes")
WORKLOADS = (
    _maml(
        "sinusoid",
        "sinusoids, MLP 40-40, 25 tasks, MAML, 5 inner steps, task by task as learn2learn's example",
        {"problem": "sinusoid", "tasks": 25, "steps": 5},
    ),
    _maml(
        "first-order",
        "the same, first order",
        {"problem": "sinusoid", "tasks": 25, "steps": 5, "first_order": True},
    ),
    _maml(
        "omniglot",
        "Omniglot-shaped 5 ways 1 shot 15 queries, Conv-4-64 with stride 2, 8 tasks, MAML, 1 inner step, task by task",
        {"problem": "omniglot", "tasks": 8, "steps": 1},
    ),
    *(
        _workload(
            f"tasks-{said}",
            f"tasks of a Taskset, {what}: 5 ways 1 shot 15 queries from 1,200 classes of 20 drawings",
            DATA | TASK | {"count": COUNT, "fused": fused},
            _EPISODES,
            budget=15,
            unit="1/s",
            same=False,
        )
        for fused, said, what in ((False, "chained", "NWays and KShots"), (True, "fused", "FusedNWaysKShots"))
    ),
)
