"""A learned optimizer on few-shot tasks, beside others: `python -m benchmarks.optimizers_on_tasks`.

MAML, Meta-SGD and tuned Adam stand beside it. Every learner has the same network, the same processor time for
meta-training and the same test tasks, and takes as many inner steps on the support. Adam is not meta-trained: it
descends from the network's own start, drawn anew for every task, with the best of some rates and numbers of steps on
meta-validation tasks. All are inductive: batch norms have the statistics of the support, in training too.
"""

import argparse
import json
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

from benchmarks import machine
from innerloop.core.allocator import keep_memory
from innerloop.core.context import Context
from innerloop.core.learner import Learner
from innerloop.core.types import Params
from innerloop.engine import TrainConfig, meta_train
from innerloop.engine.watchers import Watcher
from innerloop.evaluate import meta_test
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.gradient.meta_sgd import MetaSGD
from innerloop.learners.optimizers.l2o import L2O
from innerloop.nn.conv4 import Conv4
from innerloop.tasks import EpisodeSampler, Splits, datasets

PLACE = Path(__file__).with_name("optimizers_on_tasks.json")
WAYS, QUERIES, STEPS = 5, 5, 5
RATES, LENGTHS = (3e-3, 1e-2, 3e-2, 1e-1), (5, 20)
LEARNERS = ("maml", "meta_sgd", "l2o", "l2o, fresh start", "l2o, moments")


class Counted(Watcher):
    """How many meta-steps a training took."""

    number = 0

    def step(self, number: int, metrics: dict[str, float]) -> None:
        self.number = number


def learner(name: str, network: Conv4) -> tuple[Learner, float]:
    """A learner and its meta-rate."""
    if name == "maml":
        return MAML(model=network, inner_lr=0.4, inner_steps=STEPS), 5e-3
    if name == "meta_sgd":
        return MetaSGD(model=network, inner_lr=0.4, inner_steps=STEPS), 5e-3
    options: dict[str, Any] = {
        "l2o": {},
        "l2o, fresh start": {"fresh_start": True},
        "l2o, moments": {"preprocessing": "moments", "output_scale": 0.03},
    }[name]
    return L2O(model=network, inner_steps=STEPS, **options), 5e-3


def adam(network: Conv4, rate: float, steps: int) -> tuple[L2O, Params]:
    """Adam from weights drawn for every task: what the learned optimizer adds its steps to, with none added."""
    plain = L2O(
        model=network, inner_steps=steps, preprocessing="moments", output_scale=rate, fresh_start=True, hidden=1
    )
    params = plain.init(0)
    return plain, {k: 0 * v if k.startswith("output") else v for k, v in params.items()}


def tuned(network: Conv4, tasks: EpisodeSampler, episodes: int) -> tuple[L2O, Params, dict[str, float]]:
    """Adam with the rate and the number of steps that were best on some tasks."""
    scored = [
        (meta_test(*adam(network, rate, steps), tasks, episodes).mean, rate, steps)
        for rate in RATES
        for steps in LENGTHS
    ]
    _, rate, steps = max(scored)
    return *adam(network, rate, steps), {"rate": rate, "steps": steps}


def measured(
    splits: Splits, shots: int, width: int, minutes: float, seeds: int, episodes: int
) -> Iterator[dict[str, Any]]:
    """A row for every learner and seed, and one of Adam."""
    network = Conv4(channels=splits.train.shape[0], size=splits.train.shape[1], outputs=WAYS, width=width)
    sizes = {"ways": WAYS, "shots": shots, "queries": QUERIES}
    test = EpisodeSampler(pool=splits.test, **sizes, seed=77)
    best, params, about = tuned(network, EpisodeSampler(pool=splits.validation, **sizes), max(30, episodes // 6))
    result = meta_test(best, params, test, episodes)
    yield {"learner": "Adam, tuned", "seed": None, "mean": result.mean, "ci95": result.ci95} | about
    for seed in range(seeds):
        for name in LEARNERS:
            subject, rate = learner(name, network)
            train, before = EpisodeSampler(pool=splits.train, **sizes, seed=1 + seed), time.process_time()
            config = TrainConfig(
                steps=10**6, cpu_minutes=minutes, meta_batch_size=8, meta_lr=rate, seed=seed, clip=1.0, plan="loop"
            )
            counted = Counted()
            params = meta_train(subject, train, config, watchers=[counted])
            spent = time.process_time() - before
            result = meta_test(subject, params, test, episodes)
            own = {"meta_steps": counted.number, "processor_seconds": spent}
            yield {"learner": name, "seed": seed, "mean": result.mean, "ci95": result.ci95} | own


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optimizers_on_tasks", description=__doc__)
    parser.add_argument("--data", default="kanji")
    parser.add_argument("--shots", type=int, default=1)
    parser.add_argument("--width", type=int, default=16, help="channels of the network")
    parser.add_argument("--minutes", type=float, default=1.0, help="processor minutes of every meta-training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=300)
    asked = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    splits = datasets.load(asked.data, Context(), None)
    kept: dict[str, Any] = {
        "date": str(date.today()),
        "machine": machine.describe(),
        "options": vars(asked),
        "rows": [],
    }
    for row in measured(splits, asked.shots, asked.width, asked.minutes, asked.seeds, asked.episodes):
        kept["rows"].append(row)
        PLACE.write_text(json.dumps(kept, indent=1) + "\n")
        print(row, flush=True)
    print("| learner | accuracy, each seed | mean | between seeds | meta-steps |\n| --- | --- | --- | --- | --- |")
    for name in dict.fromkeys(row["learner"] for row in kept["rows"]):
        rows = [row for row in kept["rows"] if row["learner"] == name]
        means = [100 * row["mean"] for row in rows]
        each = ", ".join(f"{100 * row['mean']:.1f} ± {100 * row['ci95']:.1f}" for row in rows)
        between = f"{stdev(means):.1f}" if len(means) > 1 else ""
        steps = ", ".join(str(row["meta_steps"]) for row in rows if "meta_steps" in row)
        print(f"| {name} | {each} | {fmean(means):.1f} | {between} | {steps} |")


if __name__ == "__main__":
    main()
