"""Episodes a second: a data set of Omniglot's size in memory, episodes ready as float tensors."""

import torch

from benchmarks.child import Work
from benchmarks.claim import Claim, Workload
from benchmarks.contest import Contender
from innerloop.tasks import EpisodeSampler, Pool

COUNT = 32
DATA = {"classes": 1200, "instances": 20}
TASK = {"ways": 5, "shots": 1, "queries": 15}


def ours(classes: int, instances: int, ways: int, shots: int, queries: int) -> Work:
    data = torch.randint(0, 256, (classes, instances, 1, 28, 28), dtype=torch.uint8)
    names = tuple(map(str, range(classes)))
    pool = Pool(data=data, counts=torch.full((classes,), instances), names=names)
    sampler = EpisodeSampler(pool=pool, ways=ways, shots=shots, queries=queries)
    first = 0

    def run() -> None:
        nonlocal first
        sampler.episodes(first, COUNT)
        first += COUNT

    return Work(run=run, steps=COUNT)


_THEIRS = "benchmarks.peers.learn2learn:episodes"
_OURS = "benchmarks.workloads.sampling:ours"
_CONTENDERS = (
    Contender(name="EpisodeSampler, 1 thread", make=_OURS, options=DATA | TASK, threads=1),
    Contender(name="EpisodeSampler, 2 threads", make=_OURS, options=DATA | TASK, threads=2),
    *(
        Contender(name=said, make=_THEIRS, options=DATA | TASK | {"count": COUNT, "fused": fused}, threads=1)
        for fused, said in ((False, "Taskset, NWays and KShots"), (True, "Taskset, FusedNWaysKShots"))
    ),
)
WORKLOADS = (
    Workload(
        name="episodes",
        title=f"episodes: 5 ways 1 shot 15 queries from 1,200 classes of 20 drawings, {COUNT} at a time",
        contenders=_CONTENDERS,
        claims=(
            Claim(
                said="learn2learn's Taskset, the better of its two ways",
                ours="EpisodeSampler, 2 threads",
                others=tuple(c.name for c in _CONTENDERS[2:]),
                alternatives=("EpisodeSampler, 1 thread",),
                least=6,
                aim=15,
            ),
        ),
        budget=15,
        rounds=15,
        unit="1/s",
        same=False,
    ),
)
