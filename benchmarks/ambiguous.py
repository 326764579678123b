"""Ambiguous supports: do members take all functions that fit?

    python -m benchmarks.ambiguous --seeds 0 1 2      # some three minutes of one core a seed

A task is a sinusoid of one of all phases, of which a single point is shown: two sinusoids go through it, the task's own
and another. A learner of several members should put some on each; one of a single answer can only go between them.
Told, where the two are apart, are the squared error of a member to the nearer of them, the share of members that are
nearer to the task's own, and the share of tasks with members of both sides; in all tasks the squared error of the mean,
of members at the point that was shown, and the likelihood of the query.
"""

import argparse
import json
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import machine
from innerloop.core import allocator, random, tree
from innerloop.core.interval import SHARES, interval
from innerloop.core.learner import Learner
from innerloop.core.objectives import regression
from innerloop.core.predictive import Predictive
from innerloop.core.types import Batch, Episode, Params
from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate.predictive import nll
from innerloop.learners.bayesian.platipus import PLATIPUS
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP

PLACE = Path(__file__).with_name("ambiguous.json")
NETWORK: dict[str, Any] = {"model": MLP(hidden=(40, 40)), "objective": regression, "inner_steps": 5}
LEARNERS: dict[str, Learner[Any]] = {
    "maml": MAML(**NETWORK, inner_lr=0.05),
    "platipus": PLATIPUS(**NETWORK, inner_lr=0.05),
}
TASKS, APART = 400, 0.5
"""Tasks of the test, and how far apart the two sinusoids must be, in squared error."""
GRID = torch.linspace(-torch.pi, torch.pi, 100)[:, None]
TRAINING: dict[str, Any] = {"meta_batch_size": 25, "meta_lr": 1e-3, "schedule": "cosine", "clip": 10.0}


@dataclass(frozen=True)
class OnePoint:
    """Sinusoids of amplitude 1 between -pi and pi; the support is one point."""

    seed: int = 0
    queries: int = 20

    def phases(self, first: int, count: int) -> Tensor:
        """[count] of the tasks."""
        keys = random.mix(self.seed, torch.arange(first, first + count))
        return 2 * torch.pi * random.uniform(random.fold(keys, 0), ())

    def episodes(self, first: int, count: int) -> Episode:
        keys = random.mix(self.seed, torch.arange(first, first + count))
        x = torch.pi * (2 * random.uniform(random.fold(keys, 1), (1 + self.queries, 1)) - 1)
        y = torch.sin(x + self.phases(first, count)[:, None, None])
        return Episode(Batch(x[:, :1], y[:, :1], key=random.fold(keys, 2)), Batch(x[:, 1:], y[:, 1:]))

    def describe(self) -> dict[str, object]:
        return {"kind": "one point of a sinusoid", "score": "mse"}


@torch.no_grad()
def scores(learner: Learner[Any], params: Params) -> dict[str, Any]:
    """Means over tasks with their intervals."""
    sampler, rows = OnePoint(seed=2), dict[str, list[Tensor]]()
    episodes, phases = sampler.episodes(0, TASKS), sampler.phases(0, TASKS)
    for i in range(TASKS):
        support, query = tree.slice(episodes, i)
        own = torch.sin(GRID + phases[i])
        other = torch.sin(GRID + torch.pi - 2 * support.x[0] - phases[i])
        adapted = learner.adapt(params, support)
        drawn = _known(learner, params, adapted, GRID)
        there = _known(learner, params, adapted, support.x).outputs
        row = {"error of the mean": (drawn.outputs.mean(0) - own).square().mean()}
        row |= {"at the point": (there - support.y).square().mean()}
        if drawn.std is not None:
            row["nll"] = nll(_known(learner, params, adapted, query.x), query.y)
        if (own - other).square().mean() > APART:
            away = torch.stack([(drawn.outputs - y).square().mean((1, 2)) for y in (own, other)])  # [2, members]
            mine = (away[0] < away[1]).double().mean()
            row |= {"member to the nearer": away.amin(0).mean(), "members nearer to its own": mine}
            row |= {"tasks with both": ((mine > 0) & (mine < 1)).double()}
        for name, value in row.items():
            rows.setdefault(name, []).append(value.double())
    shares = {"tasks with both": SHARES, "members nearer to its own": SHARES}
    return {name: interval(torch.stack(values), shares.get(name))._asdict() for name, values in rows.items()}


def _known(learner: Learner[Any], params: Params, adapted: Any, x: Tensor) -> Predictive:
    if learner.probabilistic:
        return learner.predictive(params, adapted, x)
    return Predictive(learner.predict(params, adapted, x)[None])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ambiguous", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", default=list(LEARNERS), choices=list(LEARNERS))
    parser.add_argument("--steps", type=int, default=4000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    allocator.keep_memory()
    kept = json.loads(PLACE.read_text()) if PLACE.exists() else {"rows": {}}
    kept["machine"] = machine.describe()
    for seed in given.seeds:
        for name in given.only:
            learner, begun = LEARNERS[name], time.process_time()
            config = TrainConfig(steps=given.steps, seed=seed, plan="replay", **TRAINING)
            params = meta_train(learner, OnePoint(seed=3 * (seed + 1)), config)
            row = {"date": str(date.today()), "steps": given.steps, "cpu seconds": time.process_time() - begun}
            kept["rows"].setdefault(name, {})[str(seed)] = row | scores(learner, params)
            print(name, seed, kept["rows"][name][str(seed)], flush=True)
            PLACE.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
