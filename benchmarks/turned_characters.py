"""Characters turned in 12 steps of 30 degrees: `python -m benchmarks.turned_characters`; some six minutes of one core.

The view task of VERSA (Gordon et al. 2019), on Omniglot: a class is one drawing in 12 directions. VIML is meta-trained
on those of the training characters; of unseen ones it sees 1, 3 or 5 directions, and the others are reconstructed from
the means of c and q(z | x, c). Beside it the mean picture of a direction over the training characters (of the 12 that
which fits best, so at least as well as that of its own direction), and the nearest of the directions that were seen.
"""

import json
import math
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import machine
from innerloop.core import random, tree
from innerloop.core.allocator import keep_memory
from innerloop.core.interval import interval
from innerloop.core.types import Params
from innerloop.engine import TrainConfig, meta_train
from innerloop.learners.generative.viml import VIML
from innerloop.problems.learner import make_learner
from innerloop.problems.networks import NetworkOptions
from innerloop.tasks import EpisodeSampler, Pool
from innerloop.tasks.datasets.omniglot import omniglot

PLACE = Path(__file__).with_name("turned_characters.json")
STEPS, WAYS, TESTS, MINUTES, SEEDS = 12, 16, 400, 5, (0, 1, 2)


def turned(pool: Pool) -> Pool:
    """The first drawing of every class in all directions, [classes, 12, 1, 28, 28] bytes."""
    ink = pool.data[:, 0].float() / 255
    views = []
    for angle in torch.arange(STEPS) * (2 * math.pi / STEPS):
        c, s = float(angle.cos()), float(angle.sin())
        grid = F.affine_grid(
            torch.tensor([[[c, -s, 0.0], [s, c, 0.0]]]).expand(len(ink), -1, -1), list(ink.shape), False
        )
        views.append(F.grid_sample(ink, grid, align_corners=False))
    data = (torch.stack(views, 1) * 255).round().byte()
    counts = torch.full((len(data),), STEPS)
    return Pool(data=data, counts=counts, names=pool.names, dataset="omniglot-turned", split=pool.split)


@torch.no_grad()
def errors(which: VIML, params: Params, pool: Pool, shots: int, mean: Tensor) -> dict[str, Tensor]:
    """[TESTS] squared error a pixel of the directions that were not seen, by who reconstructs them."""
    sampler = EpisodeSampler(pool=pool, ways=1, shots=shots, queries=STEPS - shots, seed=7)
    found: dict[str, list[Tensor]] = {"viml": [], "mean picture": [], "nearest seen": []}
    for i in range(TESTS):
        support, query = tree.slice(sampler.episodes(i, 1), 0)
        x, seen = torch.as_tensor(query.x), torch.as_tensor(support.x)
        drawn = which.reconstruct(params, which.adapt(params, support), x, query.y)
        found["viml"].append((drawn - x).square().mean())
        found["mean picture"].append(nearest(x, mean))
        found["nearest seen"].append(nearest(x, seen))
    return {name: torch.stack(values).double() for name, values in found.items()}


def nearest(x: Tensor, others: Tensor) -> Tensor:
    """Mean squared error a pixel of [n, ...] pictures to the nearest of [m, ...]."""
    return (x[:, None] - others).square().flatten(2).mean(2).min(1).values.mean()


def main() -> None:
    torch.set_num_threads(1)
    keep_memory()
    splits = omniglot(split="vinyals", rotations=False)
    train, test = turned(splits.train), turned(splits.test)
    mean = train.data.float().mean(0) / 255  # [directions, 1, 28, 28]
    rows: list[dict[str, Any]] = []
    for seed in SEEDS:
        which = make_learner(VIML, {"likelihood": "bernoulli"}, (1, 28, 28), WAYS, NetworkOptions(width=32))
        sampler = EpisodeSampler(pool=train, ways=WAYS, shots=(1, 5), queries=5, seed=random_seed(seed))
        config = TrainConfig(
            steps=100_000, cpu_minutes=MINUTES, meta_batch_size=1, meta_lr=2e-3, schedule="cosine", plan="loop",
            validate_every=0, seed=seed,
        )  # fmt: skip
        start = time.process_time()
        params = meta_train(which, sampler, config)
        row: dict[str, Any] = {"seed": seed, "seconds": time.process_time() - start}
        for shots in (1, 3, 5):
            row[str(shots)] = {k: interval(v)._asdict() for k, v in errors(which, params, test, shots, mean).items()}
        rows.append(row)
        print(row, flush=True)
    PLACE.write_text(
        json.dumps({"date": str(date.today()), "machine": machine.describe(), "rows": rows}, indent=1) + "\n"
    )


def random_seed(seed: int) -> int:
    """Of the tasks of a training."""
    return int(random.mix(seed, 12))


if __name__ == "__main__":
    main()
