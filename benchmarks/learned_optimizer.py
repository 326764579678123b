"""A learned optimizer in an ordinary loop, against tuned Adam: `python -m benchmarks.learned_optimizer RUN`.

Five problems on scikit-learn's digits that it was not trained on. Both get the best of 14 rates (the learned one's is a
factor of its steps), by the mean loss over the first horizon, on seeds of their own; then they start from the same
weights and see the same minibatches. Losses are of the whole training set; wall times of the two are of the same run.
"""

import argparse
import json
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import machine
from innerloop.core.interval import interval
from innerloop.evaluate.optimizer_curves import RATES
from innerloop.optim.learned import LearnedOptimizer

PLACE = Path(__file__).with_name("learned_optimizer.json")
BATCH, SEEDS, TUNING = 64, range(10), range(100, 103)
HORIZONS = (200, 1000)
Make = Callable[..., torch.optim.Optimizer]

PROBLEMS: dict[str, Callable[[], nn.Module]] = {
    "softmax regression": lambda: nn.Linear(64, 10),
    "40 sigmoid units": lambda: nn.Sequential(nn.Linear(64, 40), nn.Sigmoid(), nn.Linear(40, 10)),
    "two layers of 32 tanh units": lambda: nn.Sequential(
        nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 10)
    ),
    "two convolutions with tanh": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 8, 3, 2, 1),
        nn.Tanh(),
        nn.Conv2d(8, 8, 3, 2, 1),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(32, 10),
    ),
    "two layers of 32 ReLU units": lambda: nn.Sequential(
        nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
    ),
}


def digits() -> tuple[Tensor, Tensor]:
    """1,797 pictures [n, 64] of mean 0 and variance 1, and their classes."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = torch.as_tensor(np.asarray(x), dtype=torch.float32)
    return (x - x.mean()) / x.std(), torch.as_tensor(np.asarray(y))


def losses(problem: str, make: Make, seed: int, steps: int, x: Tensor, y: Tensor) -> tuple[list[float], float]:
    """Loss on all of the data after every tenth step, and the seconds that optimizing took."""
    torch.manual_seed(seed)
    net = PROBLEMS[problem]()
    optimizer, generator, found, seconds = make(net.parameters()), torch.Generator().manual_seed(seed), [], 0.0
    for step in range(1, steps + 1):
        rows = torch.randint(len(x), (BATCH,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(net(x[rows]), y[rows]).backward()
        start = time.perf_counter()
        optimizer.step()
        seconds += time.perf_counter() - start
        if step % 10 == 0:
            with torch.no_grad():
                found.append(F.cross_entropy(net(x), y).item())
    return found, seconds / steps


def tuned(problem: str, make: Make, x: Tensor, y: Tensor) -> float:
    """An optimizer's best rate over the first horizon."""

    def mean(rate: float) -> float:
        runs = [losses(problem, partial(make, lr=rate), seed, HORIZONS[0], x, y)[0] for seed in TUNING]
        return float(np.nan_to_num(np.mean(runs), nan=np.inf))

    return min(RATES, key=mean)


def measure(problem: str, learned: Make, x: Tensor, y: Tensor) -> dict[str, Any]:
    """Both optimizers on one problem, all seeds."""
    makes: dict[str, Make] = {"learned": learned, "Adam": torch.optim.Adam}
    row: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    for name, make in makes.items():
        rate = tuned(problem, make, x, y)
        runs = [losses(problem, partial(make, lr=rate), seed, HORIZONS[-1], x, y) for seed in SEEDS]
        values = torch.tensor([curve for curve, _ in runs], dtype=torch.float64)
        seconds[name] = float(np.median([each for _, each in runs]))
        row[name] = {
            "rate": rate,
            "mean to 200": interval(values[:, : HORIZONS[0] // 10].mean(1))._asdict(),
            **{f"at {h}": interval(values[:, h // 10 - 1])._asdict() for h in HORIZONS},
        }
    return row | {"step ratio": seconds["learned"] / seconds["Adam"]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learned_optimizer", description=__doc__)
    parser.add_argument("run", help="run folder of l2o, or l2o-mlp, which comes with the package")
    given = parser.parse_args()
    torch.set_num_threads(1)
    learned, (x, y) = LearnedOptimizer.load(given.run), digits()
    rows = {problem: measure(problem, learned, x, y) for problem in PROBLEMS}
    kept = {"date": str(date.today()), "machine": machine.describe(), "run": given.run, "rows": rows}
    PLACE.write_text(json.dumps(kept, indent=1) + "\n")
    heads = ["problem", "rates", "mean loss to 200: learned", "Adam", "at 200", "Adam", "at 1,000", "Adam", "step"]
    print(f"| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|")
    for problem, row in rows.items():
        pairs = [row[name][k] for k in row["Adam"] if k != "rate" for name in ("learned", "Adam")]
        cells = [f"{one['mean']:.3g} ± {one['ci95']:.2g}" for one in pairs]
        rates = f"{row['learned']['rate']:.2g}, {row['Adam']['rate']:.2g}"
        print(f"| {problem} | {rates} | {' | '.join(cells)} | {row['step ratio']:.1f}x |")


if __name__ == "__main__":
    main()
