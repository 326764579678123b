"""Neural processes: what they know of curves beside the exact process, and their speed beside a hand-batched loop.

    python -m benchmarks.neural_processes quality            # some half an hour of one core
    python -m benchmarks.neural_processes quality latent     # one of them, beside what is kept of the others
    python -m benchmarks.neural_processes speed              # a minute

Curves of one RBF process: lengthscale 0.4, scale 1, noise 0.02, x from -2 to 2; contexts of 3 to 10 points and 20
targets in training, 10 points and 50 targets in the test. The rate, 1e-3, was not tuned.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import machine
from innerloop.core import tree
from innerloop.core.interval import interval
from innerloop.core.learner import Learner
from innerloop.core.types import Params
from innerloop.engine import TrainConfig, meta_train
from innerloop.engine.choose import choose
from innerloop.engine.updates import Descent
from innerloop.evaluate.predictive import coverage, nll
from innerloop.learners.bayesian.neural_process import NeuralProcess
from innerloop.problems.learner import make_learner
from innerloop.problems.networks import NetworkOptions
from innerloop.tasks import GPCurves

PLACE = Path(__file__).with_name("neural_processes.json")
VARIANTS: dict[str, dict[str, Any]] = {
    "CNP": {},
    "CNP, attention": {"attention": True},
    "latent": {"path": "latent"},
    "both, attention": {"path": "both", "attention": True},
}
TIMED = ("CNP", "CNP, attention")
MOMENTS = (2_000, 10_000)
"""Steps after which each is tested."""
SEEDS, TESTS, TASKS, ROUNDS = (0, 1, 2), 600, 64, 30
CURVES = GPCurves(shots=10, queries=20, fewest_shots=3, noise=0.02, lengthscale=(0.4, 0.4), scale=(1.0, 1.0))
TEST = replace(CURVES, queries=50, fewest_shots=None, seed=2)


def learner(**fields: Any) -> NeuralProcess:
    return make_learner(NeuralProcess, fields, (1,), 1, NetworkOptions())


@torch.no_grad()
def scores(which: Learner | None, params: Params) -> dict[str, Tensor]:
    """NLL, squared error and coverage of the 90% interval of every test curve; None: of the exact process."""
    found: dict[str, list[Tensor]] = {"nll": [], "mse": [], "coverage": []}
    episodes = TEST.episodes(0, TESTS)
    for i in range(TESTS):
        support, query = tree.slice(episodes, i)
        known = (
            TEST.exact(support, query.x)
            if which is None
            else which.predictive(params, which.adapt(params, support), query.x)
        )
        found["nll"].append(nll(known, query.y))
        found["mse"].append((known.outputs.mean(0) - query.y).square().mean())
        found["coverage"].append(coverage(known, query.y))
    return {name: torch.stack(values).double() for name, values in found.items()}


def quality(names: Sequence[str], seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
    """The exact process, then variants at every moment, one row a seed."""
    rows = {"exact": [{k: interval(v)._asdict() for k, v in scores(None, {}).items()}]}
    for name in names:
        fields = VARIANTS[name]
        for seed in seeds:
            with tempfile.TemporaryDirectory() as run:
                for steps in MOMENTS:
                    config = TrainConfig(steps=steps, meta_batch_size=TASKS, meta_lr=1e-3, clip=10.0, seed=seed)
                    config, start = replace(config, validate_every=0, plan="replay"), time.process_time()
                    params = meta_train(learner(**fields), replace(CURVES, seed=3 * (seed + 1)), config, run)
                    row: dict[str, Any] = {
                        "date": str(date.today()),
                        "seed": seed,
                        "seconds": time.process_time() - start,
                    }
                    row |= {k: interval(v)._asdict() for k, v in scores(learner(**fields), params).items()}
                    rows.setdefault(f"{name}, {steps:,} steps", []).append(row)
                    print(name, steps, row, flush=True)
    return rows


class Batched(nn.Module):
    """The same networks as one would write them by hand, for [tasks, n, d] at once."""

    def __init__(self, attention: bool):
        super().__init__()
        self.encoder, self.decoder = _mlp(2, 128, 128, 128), _mlp(129, 128, 128, 128, 2)
        self.keys = _mlp(1, 128, 128) if attention else None

    def forward(self, x: Tensor, y: Tensor, mask: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        values, counted = self.encoder(torch.cat([x, y], -1)), mask[..., None].to(x.dtype)
        if self.keys is None:
            known = ((values * counted).sum(1, keepdim=True) / counted.sum(1, keepdim=True)).expand(
                -1, asked.shape[1], -1
            )
        else:
            q, k, v = (t.unflatten(-1, (8, -1)).transpose(1, 2) for t in (self.keys(asked), self.keys(x), values))
            known = F.scaled_dot_product_attention(q, k, v, mask[:, None, None]).transpose(1, 2).flatten(2)
        mean, raw = self.decoder(torch.cat([asked, known], -1)).chunk(2, -1)
        return mean, 0.1 + 0.9 * F.softplus(raw)


def _mlp(*sizes: int) -> nn.Sequential:
    layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def by_hand(attention: bool) -> Callable[[], float]:
    """A step of Adam on the same curves, in an ordinary loop."""
    torch.manual_seed(0)
    net = Batched(attention)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    support, query = CURVES.episodes(0, TASKS)
    assert isinstance(support.x, Tensor) and isinstance(query.x, Tensor) and support.mask is not None
    x, y = torch.cat([support.x, query.x], 1), torch.cat([support.y, query.y], 1)
    rows = torch.cat([support.mask, torch.ones(query.y.shape[:2], dtype=torch.bool)], 1)
    counted = rows / rows.sum(1, keepdim=True)

    def step() -> float:
        optimizer.zero_grad()
        mean, std = net(support.x, support.y, support.mask, x)
        surprise = -torch.distributions.Normal(mean, std).log_prob(y)[..., 0]
        loss = (surprise * counted).sum(1).mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def ours(attention: bool) -> tuple[Callable[[], float], str]:
    """A meta-step as `meta_train` has it, with the plan that the engine chooses."""
    which, episodes = learner(attention=attention), CURVES.episodes(0, TASKS)
    plan = choose(which, which.init(0), episodes).plan
    update, params = Descent(plan=plan), which.init(0)
    state = update.begin(which, params, episodes)

    def step() -> float:
        nonlocal params, state
        params, state, metrics = update.step(which, params, state, episodes, 0, 1e-3)
        return float(metrics["loss"])

    return step, str(plan)


def speed() -> dict[str, Any]:
    """Milliseconds a meta-step of 64 curves, in turns within one process, and the median of the rounds' ratios."""
    rows = {}
    for name in TIMED:
        attention = bool(VARIANTS[name])
        mine, plan = ours(attention)
        sides = {"ours": mine, "by hand": by_hand(attention)}
        for step in sides.values():
            for _ in range(20):
                step()
        times: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(ROUNDS):
            for side, step in sides.items():
                start = time.perf_counter()
                for _ in range(10):
                    step()
                times[side].append((time.perf_counter() - start) * 100)
        ratios = sorted(b / a for a, b in zip(times["ours"], times["by hand"], strict=True))
        rows[name] = {side: statistics.median(values) for side, values in times.items()} | {"plan": plan}
        rows[name] |= {"ratio": [ratios[0], statistics.median(ratios), ratios[-1]]}
        print(name, rows[name], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.neural_processes", description=__doc__)
    parser.add_argument("what", choices=("quality", "speed"))
    parser.add_argument(
        "variants",
        nargs="*",
        choices=[*VARIANTS, []],
        metavar="VARIANT",
        help=f"of quality: {'; '.join(VARIANTS)}; all unless named",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="of quality")
    given = parser.parse_args()
    torch.set_num_threads(1)
    kept = json.loads(PLACE.read_text()) if PLACE.exists() else {}
    about = {"date": str(date.today()), "machine": machine.describe()}
    if given.what == "quality":
        rows = kept.get("quality", {}).get("rows", {})
        for name, new in quality(given.variants or list(VARIANTS), given.seeds).items():
            seeds = {row.get("seed") for row in new}
            rows[name] = [row for row in rows.get(name, []) if row.get("seed") not in seeds] + new
    else:
        rows = speed()
    kept[given.what] = about | {"rows": rows}
    PLACE.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
