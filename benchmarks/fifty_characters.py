"""New tasks from few classes: `python -m benchmarks.fifty_characters [ROW ...]`, all rows unless some are named.

ProtoNet learns from 50 of Omniglot's characters, without rotated ones, and is tested on characters it has not seen.
Every row trains equally many steps with the same three seeds (`--seeds 0`: with one of them), and nothing is chosen:
the last parameters are tested. What is measured is kept in `fifty_characters.json`; asked again, it goes on where it
stopped.
"""

import argparse
import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import machine
from innerloop.core import allocator, random, tree
from innerloop.core.files import write
from innerloop.core.interval import difference, interval
from innerloop.core.learner import Learner
from innerloop.core.types import Params, Sampler
from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate import meta_test
from innerloop.learners.generative.task_generator import TaskGenerator
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.conv4 import Conv4
from innerloop.runs.defaults import defaults, learner_class
from innerloop.tasks import Distorted, EpisodeSampler, Interpolated, Pool, Splits
from innerloop.tasks.datasets.omniglot import omniglot

PLACE = Path(__file__).with_name("fifty_characters.json")
CHARACTERS, SEEDS, EPISODES, QUERIES = 50, (0, 1, 2), 600, 5
FEW_STEPS, GENERATOR_STEPS = 500, 400
"""A step behind a generator costs as much as six without."""
BESIDE = ("plain", "distorted")
TESTS = {"20 ways": 20, "5 ways": 5}
PLAN: dict[str, Any] = {"plan": "loop", "layout": "channels_last"}


def ordinary(pool: Pool, seed: int) -> EpisodeSampler:
    """Tasks of 20 ways and 1 shot."""
    return EpisodeSampler(pool=pool, ways=20, shots=1, queries=QUERIES, seed=seed)


def distorted(pool: Pool, seed: int) -> Sampler:
    """The same, of distorted pictures."""
    return Distorted(sampler=ordinary(pool, seed))


@dataclass(frozen=True)
class Row:
    """What ProtoNet is trained on."""

    tasks: Callable[[Pool, int], Sampler]
    steps: int = 2500
    generated: bool = False
    """Whether a VIML goes before it, which has learned from the same characters; in training and at test."""
    between: bool = False
    """Whether classes are mixed in front of a random layer of its encoder (MLTI), in half of the tasks."""


ROWS = {
    "plain": Row(ordinary),
    "distorted": Row(distorted),
    "interpolated": Row(lambda pool, seed: Interpolated(sampler=ordinary(pool, seed))),
    "distorted, interpolated": Row(lambda pool, seed: Interpolated(sampler=distorted(pool, seed))),
    "rotated classes": Row(lambda pool, seed: ordinary(pool.rotated(), seed)),
    "rotated classes, distorted": Row(lambda pool, seed: distorted(pool.rotated(), seed)),
    "interpolated in layers": Row(ordinary, between=True),
    "distorted, interpolated in layers": Row(distorted, between=True),
    "distorted, generated": Row(distorted, generated=True),
    "plain, few steps": Row(ordinary, FEW_STEPS),
    "distorted, few steps": Row(distorted, FEW_STEPS),
    "generated, few steps": Row(ordinary, FEW_STEPS, generated=True),
    "distorted, generated, few steps": Row(distorted, FEW_STEPS, generated=True),
}


def viml(pool: Pool) -> Learner[Any]:
    """As `innerloop train viml` makes it for some characters."""
    usual = defaults("viml", "omniglot")
    splits = Splits(train=pool, validation=pool.take([]), test=pool.take([]))
    return usual.task.learner(learner_class("viml"), usual.fields, usual.network, splits)


@functools.cache
def generator(pool: Pool) -> tuple[Learner[Any], Params]:
    """A VIML, trained on tasks of some characters, and its parameters."""
    learner, usual = viml(pool), defaults("viml", "omniglot").train
    sampler = EpisodeSampler(pool=pool, ways=16, shots=5, queries=5)
    return learner, meta_train(learner, sampler, replace(usual, steps=GENERATOR_STEPS, **PLAN))


def measure(name: str, pool: Pool, test: Pool, seed: int) -> dict[str, Any]:
    """What one training of a row reaches: right answers of each test task, and its seconds of processor time."""
    row, start = ROWS[name], {}
    learner: Learner[Any] = ProtoNet(encoder=Conv4(outputs=None, width=32, pool="max"))
    if row.generated:
        before, psi = generator(pool)
        learner, start = TaskGenerator(learner=learner, generator=before), tree.join(generator=psi)
    if row.between:
        idle = viml(pool)  # nothing is asked of it
        learner = TaskGenerator(learner=learner, generator=idle, extra=0, share=0.5, between="layers", likelihood=0.0)
    config = TrainConfig(steps=row.steps, meta_batch_size=1, schedule="cosine", seed=seed, **PLAN)
    began = time.process_time()
    params = meta_train(learner, row.tasks(pool, seed), config, start=start)
    found: dict[str, Any] = {"date": str(date.today()), "seconds": round(time.process_time() - began, 1)}
    for title, ways in TESTS.items():
        sampler = EpisodeSampler(pool=test, ways=ways, shots=1, queries=QUERIES)
        scores = meta_test(learner, params, sampler, EPISODES, quiet=True).scores
        found[title] = (scores * ways * QUERIES).round().int().flatten().tolist()
    return found


def told(rows: dict[str, dict[str, Any]], title: str) -> None:
    """A table of the rows: the mean of the seeds, and paired differences from plain and distorted of as many steps."""
    for name in (n for n in ROWS if rows.get(n)):
        scores, mine = _scores(rows[name], title), ROWS[name].steps
        against = [n for n in ROWS if ROWS[n].steps == mine and n != name and rows.get(n)]
        gaps = [
            f"{_gap(scores, _scores(rows[n], title))} than {n}"
            for n in against
            if n.removesuffix(", few steps") in BESIDE
        ]
        mean, each = interval(_pooled(scores)), ", ".join(f"{s.mean():.1f}" for s in scores.values())
        cost = sum(found["seconds"] for found in rows[name].values()) / len(scores)
        print(f"{title:8} {name:32} {mean.mean:.1f} ± {mean.ci95:.1f} ({each}; {cost:.0f} s) {'; '.join(gaps)}")


def _scores(seeds: dict[str, Any], title: str) -> dict[str, Tensor]:
    """[episodes] percent right, by seed."""
    counts = {seed: torch.tensor(found[title], dtype=torch.float64) for seed, found in seeds.items()}
    return {seed: 100 * right / (TESTS[title] * QUERIES) for seed, right in counts.items()}


def _pooled(scores: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(scores.values())).mean(0)


def _gap(scores: dict[str, Tensor], other: dict[str, Tensor]) -> str:
    """Of the seeds that both have, on the same tasks."""
    both = [seed for seed in scores if seed in other]
    gap = difference(*(_pooled({seed: part[seed] for seed in both}) for part in (scores, other)))
    return f"{gap.mean:+.1f} ± {gap.ci95:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fifty_characters", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), choices=SEEDS)
    given = parser.parse_args()
    if strange := sorted(set(given.rows) - set(ROWS)):
        parser.error(f"there is no row '{strange[0]}': use {', '.join(ROWS)}")
    allocator.keep_memory()
    torch.set_num_threads(1)
    splits = omniglot(rotations=False)
    chosen = random.permutation(random.mix(0, 0), len(splits.train))[:CHARACTERS]
    pool = splits.train.take(sorted(chosen.tolist()))
    kept = json.loads(PLACE.read_text()) if PLACE.exists() else {"rows": {}}
    kept["machine"] = machine.describe()
    for seed in given.seeds:
        for name in given.rows or ROWS:
            if str(seed) not in kept["rows"].setdefault(name, {}):
                kept["rows"][name][str(seed)] = measure(name, pool, splits.test, seed)
                write(PLACE, json.dumps(kept) + "\n")
    for title in TESTS:
        told(kept["rows"], title)


if __name__ == "__main__":
    main()
