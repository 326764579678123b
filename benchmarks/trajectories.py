"""Learning a trajectory of unseen classes online: encoders trained for it (OML, ANML) beside one plainly pre-trained.

    python -m benchmarks.trajectories --minutes 5 --seeds 0 1 2     # four trainings a seed
    python -m benchmarks.trajectories --plans                       # the time of a meta-step of OML, by plan

Omniglot at 28 x 28 (Vinyals split, rotations as classes), Conv-4 with 32 channels and without norm. Trajectories show
20 classes one after another, 5 rows of each, once and row by row; what is measured is the accuracy on 15 held-out rows
of each class. All are trained for the same processor time, with Adam at 1e-3. Then the same head learns online over
each, at the rate of those tried that does best on trajectories of meta-training classes.

A meta-step is the meta-gradient of four such trajectories, plans in turns.
"""

import argparse
import json
import statistics
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine
from innerloop.core import tree
from innerloop.core.allocator import keep_memory
from innerloop.core.context import Context
from innerloop.core.online_head import OnlineHead
from innerloop.core.types import Params, Sampler
from innerloop.engine import TrainConfig, meta_gradient, meta_train
from innerloop.engine.plan import Plan
from innerloop.evaluate import Result, meta_test
from innerloop.learners.baselines.fine_tune import FineTune
from innerloop.learners.online.anml import ANML
from innerloop.learners.online.oml import OML
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import Linear
from innerloop.tasks import BatchSampler, EpisodeSampler, Pool, TrajectorySampler, datasets

PLACE = Path(__file__).with_name("trajectories.json")
WAYS, SHOTS, REMEMBER, TASKS = 20, 5, 64, 300
CONTENDERS = ("pre-trained", "oml", "oml --remember 64", "anml")
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
PLANS = (
    Plan("loop"),
    Plan("vmap", 1),
    Plan("vmap", 4),
    Plan("threads", threads=2),
    Plan("replay", 4),
)
"""Not `compile`: the graph of 100 steps and their derivative kept the compiler for over a quarter of an hour."""
AT_ONCE, ROUNDS = 4, 7
ENCODER = Conv4(outputs=None, width=32, norm=False)


def trajectories(pool: Pool, ways: int, queries: int, seed: int = 0) -> EpisodeSampler:
    return EpisodeSampler(pool=pool, ways=ways, shots=SHOTS, queries=queries, seed=seed)


def trained(name: str, pool: Pool, minutes: float, seed: int, out: Path | None) -> tuple[OnlineHead, Params]:
    """A head that learns online, and the parameters below it."""
    config = TrainConfig(
        steps=1_000_000, cpu_minutes=minutes, meta_batch_size=1, seed=seed, plan="loop", checkpoint_every=1000
    )
    rows = {"encoder": ENCODER, "inner_lr": 0.03}
    if name == "pre-trained":
        plain = FineTune(encoder=ENCODER, head=Linear(inputs=ENCODER.features, outputs=len(pool)))
        params = meta_train(plain, BatchSampler(pool=pool, batch_size=64, seed=seed), config, out=out)
        oml = OML(**rows, head=Linear(inputs=ENCODER.features, outputs=1, zero=True))
        return oml, {**oml.init(seed), **tree.join(encoder=tree.part(params, "encoder"))}
    sampler: Sampler = trajectories(pool, WAYS, 5, seed)
    remembers = name.endswith(str(REMEMBER))
    if remembers:
        sampler = TrajectorySampler(sampler=trajectories(pool, WAYS, 5, seed), remember=REMEMBER)
    rows["head"] = Linear(inputs=ENCODER.features, outputs=len(pool) if remembers else WAYS)
    learner = ANML(**rows, gate=ENCODER) if name.startswith("anml") else OML(**rows)
    return learner, meta_train(learner, sampler, config, out=out)


def at_best_rate(learner: OnlineHead, params: Params, pool: Pool, ways: int) -> tuple[OnlineHead, dict[str, float]]:
    """The learner at the rate that does best on 60 trajectories of meta-training classes, and what each did."""
    tried: dict[float, float] = {}
    for rate in RATES:
        one = replace(learner, inner_lr=rate)
        tried[rate] = meta_test(one, params, trajectories(pool, ways, 5, 99), 60, curve=False, quiet=True).mean
    return replace(learner, inner_lr=max(tried, key=lambda rate: tried[rate])), {str(k): v for k, v in tried.items()}


def tested(learner: OnlineHead, params: Params, pools: Any, ways: int, tasks: int) -> dict[str, Any]:
    best, tried = at_best_rate(learner, params, pools.train, ways)
    result: Result = meta_test(best, params, trajectories(pools.test, ways, 15, 0), tasks, curve=False, quiet=True)
    return {"accuracy": result.mean, "ci95": result.ci95, "inner_lr": best.inner_lr, "on meta-training classes": tried}


def plans() -> None:
    """Print what a meta-step takes by every plan: at first, and then, in seconds and against the loop."""
    pool = datasets.load("omniglot", Context()).train
    learner = OML(encoder=ENCODER, inner_lr=0.03, head=Linear(inputs=ENCODER.features, outputs=WAYS))
    params, tasks = learner.init(0), trajectories(pool, WAYS, 5).episodes(0, AT_ONCE)
    first, wall, processor = {}, {plan: [] for plan in PLANS}, {plan: [] for plan in PLANS}
    for plan in PLANS:
        begun = time.perf_counter()
        meta_gradient(learner, params, tasks, plan)
        first[plan] = time.perf_counter() - begun
    for _ in range(ROUNDS):
        for plan in PLANS:
            begun, spent = time.perf_counter(), time.process_time()
            meta_gradient(learner, params, tasks, plan)
            wall[plan].append(time.perf_counter() - begun)
            processor[plan].append(time.process_time() - spent)
    for plan in PLANS:
        ratios = [loop / mine for loop, mine in zip(wall[PLANS[0]], wall[plan], strict=True)]
        about = {"plan": str(plan), "first": first[plan], "seconds": statistics.median(wall[plan])}
        about |= {"processor seconds": statistics.median(processor[plan])}
        print(json.dumps(about | {"to the loop": [statistics.median(ratios), min(ratios), max(ratios)]}), flush=True)


def keep(rows: list[dict[str, Any]]) -> None:
    """Write rows beside those of other trainings that were measured before."""

    def training(row: dict[str, Any]) -> list[Any]:
        return [row[k] for k in ("name", "seed", "minutes", "ways")]

    new = [training(row) for row in rows]
    before = json.loads(PLACE.read_text())["rows"] if PLACE.exists() else []
    rows = [row for row in before if training(row) not in new] + rows
    PLACE.write_text(json.dumps({"machine": machine.describe(), "rows": rows}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trajectories", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="of processor time, for each training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--ways", type=int, nargs="+", default=[WAYS], help="classes of the trajectories of the test")
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--out", type=Path, help="keep the runs in this folder")
    parser.add_argument("--plans", action="store_true", help="measure a meta-step of OML by plan, and nothing else")
    parser.add_argument("--dry", action="store_true", help="write no file: print what was found")
    given = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    if given.plans:
        plans()
        return
    pools, rows = datasets.load("omniglot", Context()), list[dict[str, Any]]()
    for seed in given.seeds:
        for name in given.only:
            begun = time.process_time()
            out = given.out and given.out / f"{name.replace(' ', '')}-{seed}"
            learner, params = trained(name, pools.train, given.minutes, seed, out)
            row: dict[str, Any] = {"date": date.today().isoformat(), "minutes": given.minutes}
            row |= {"name": name, "seed": seed, "seconds": time.process_time() - begun}
            for ways in given.ways:
                rows.append({**row, "ways": ways, **tested(learner, params, pools, ways, given.tasks)})
                print(json.dumps(rows[-1]), flush=True)
                if not given.dry:
                    keep(rows)


if __name__ == "__main__":
    main()
