"""VIML beside a plain VAE of the same networks, what its codes say of sets of numbers, and what it costs before others.

    python -m benchmarks.viml speed     # some two minutes of one core
    python -m benchmarks.viml sets      # some five
    python -m benchmarks.viml before    # some three

Speed: 16 classes of 10 pictures, 28 x 28, with the usual networks of kanji. The plain VAE is ordinary modules, autograd
and Adam over a batch whose classes lie one after another, without masks, labels or keys.

Sets: as of Edwards and Storkey 2017, 10,000 sets of 200 draws, each of a normal, uniform, Laplace or exponential
distribution whose mean is uniform from -1 to 1 and whose deviation from 0.5 to 2; five epochs, 16 sets a step.

Before: a meta-step of a learner on its own, and behind a task generator, on the same kanji; both with Conv-4-32.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import machine
from innerloop.core import random, tree
from innerloop.core.allocator import keep_memory
from innerloop.core.context import Context
from innerloop.core.learner import Learner
from innerloop.core.types import Batch, Episode
from innerloop.engine import TrainConfig, meta_train
from innerloop.engine.plan import Plan
from innerloop.engine.updates import Descent
from innerloop.learners.generative.task_generator import TaskGenerator
from innerloop.learners.generative.viml import VIML
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.conv4 import Conv4
from innerloop.problems.learner import make_learner
from innerloop.problems.networks import NetworkOptions
from innerloop.tasks import EpisodeSampler, datasets

PLACE = Path(__file__).with_name("viml.json")
CLASSES, SHOTS, COUNT, ROUNDS = 16, 5, 64, 15
AHEAD, AHEAD_ROUNDS = 10, 7
SETS, DRAWS, EPOCHS, A_STEP = 10_000, 200, 5, 16


def learner() -> VIML:
    return make_learner(VIML, {"likelihood": "bernoulli"}, (1, 28, 28), CLASSES, NetworkOptions(width=32))


class PlainVAE(nn.Module):
    """The networks of a learner, whose examples lie class by class."""

    def __init__(self, which: VIML):
        super().__init__()
        self.encoder, self.statistic = which.encoder.build(), which.statistic.build()
        self.posterior, self.decoder, self.latent = which.posterior.build(), which.decoder.build(), which.latent

    def known(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of [classes, n, ...] examples, and their codes' means and log-variances."""
        features = self.encoder(x.flatten(0, 1))
        mean, log_variance = self.statistic(features.unflatten(0, x.shape[:2]).mean(1)).chunk(2, 1)
        return features.unflatten(0, x.shape[:2]), mean, log_variance

    def forward(self, support: Tensor, query: Tensor) -> Tensor:
        features, mean, log_variance = self.known(support)
        both = torch.cat([features, self.encoder(query.flatten(0, 1)).unflatten(0, query.shape[:2])], 1)
        code = (mean + (0.5 * log_variance).exp() * torch.randn_like(mean))[:, None]
        code = code.expand(-1, both.shape[1], *mean.shape[1:]).flatten(0, 1)
        beside, begun = (torch.cat([v.roll(1, 1), v], 1).flatten(0, 1) for v in (features, support))
        latent_mean, latent_log_variance = self.posterior(both.flatten(0, 1), code, beside).chunk(2, 1)
        z = latent_mean + (0.5 * latent_log_variance).exp() * torch.randn_like(latent_mean)
        x = torch.cat([support, query], 1).flatten(0, 1)
        outputs = self.decoder(code=code, latent=z, example=begun, features=beside)
        loss = F.binary_cross_entropy_with_logits(outputs, x, reduction="sum")
        for m, v in ((mean, log_variance), (latent_mean, latent_log_variance)):
            loss = loss + 0.5 * (m.square() + v.exp() - 1 - v).sum()
        return loss / len(x)

    @torch.no_grad()
    def generate(self, support: Tensor, count: int) -> Tensor:
        features, mean, log_variance = self.known(support)
        code = mean[:, None] + (0.5 * log_variance)[:, None].exp() * torch.randn(len(mean), count, *mean.shape[1:])
        z = torch.randn(len(mean) * count, self.latent)
        at = torch.arange(len(mean)).repeat_interleave(count), torch.randint(support.shape[1], (len(z),))
        outputs = self.decoder(code=code.flatten(0, 1), latent=z, example=support[at], features=features[at])
        return torch.sigmoid(outputs).unflatten(0, (len(mean), count))


def sides() -> dict[str, dict[str, Callable[[], Any]]]:
    """A meta-step and a sheet of examples, by either."""
    which, y = learner(), torch.arange(CLASSES).repeat_interleave(SHOTS)
    keys = random.mix(0, torch.arange(2))
    x = random.uniform(keys, (len(y), 1, 28, 28))
    support, query = (
        Batch(part, y, classes=torch.ones(CLASSES, dtype=torch.bool), key=key)
        for part, key in zip(x, keys, strict=True)
    )
    episodes, params = tree.stack([Episode(support, query)]), which.init(0)
    update = Descent(plan=Plan("loop", layout="channels_last"))
    state = update.begin(which, params, episodes)

    def step() -> None:
        nonlocal params, state
        params, state, _ = update.step(which, params, state, episodes, 0, 2e-3)

    @torch.no_grad()
    def generate() -> None:
        which.generate(params, which.adapt(params, support), keys[0], COUNT)

    torch.manual_seed(0)
    plain, writer = PlainVAE(which), PlainVAE(which)
    plain.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # as the plan of ours
    optimizer = torch.optim.Adam(plain.parameters(), lr=2e-3)
    shown = [torch.as_tensor(part.x).unflatten(0, (CLASSES, SHOTS)) for part in (support, query)]

    def plain_step() -> None:
        optimizer.zero_grad()
        plain(*shown).backward()
        optimizer.step()

    return {
        "meta-step": {"ours": step, "plain VAE": plain_step},
        "generate": {"ours": generate, "plain VAE": lambda: writer.generate(shown[0], COUNT)},
    }


def speed() -> dict[str, Any]:
    """Milliseconds of processor time, in turns within one process, and the median of the rounds' ratios."""
    rows = {}
    for name, contenders in sides().items():
        for work in contenders.values():
            work()
        times: dict[str, list[float]] = {side: [] for side in contenders}
        for _ in range(ROUNDS):
            for side, work in contenders.items():
                start = time.process_time()
                for _ in range(4):
                    work()
                times[side].append((time.process_time() - start) * 250)
        ratios = sorted(b / a for a, b in zip(times["ours"], times["plain VAE"], strict=True))
        rows[name] = {side: statistics.median(values) for side, values in times.items()}
        rows[name] |= {"ratio": [ratios[0], statistics.median(ratios), ratios[-1]]}
        if name == "generate":
            rows[name] |= {"examples a second": 1e3 * CLASSES * COUNT / rows[name]["ours"]}
        print(name, rows[name], flush=True)
    return rows


class Distributions:
    """Episode i: 16 of the 10,000 sets, as classes whose examples are all support; `described` has their truth."""

    def described(self, first: int, sets: int, draws: int = DRAWS) -> tuple[Tensor, Tensor, Tensor]:
        """[sets, draws, 1] numbers, and the mean and deviation of each set."""
        keys = random.mix(4, torch.arange(first, first + sets))
        kind, mean, spread = (random.uniform(random.fold(keys, i), ()) for i in range(3))
        mean, spread = 2 * mean - 1, 0.5 + 1.5 * spread
        u = random.uniform(random.fold(keys, 3), (draws,)) + 2.0**-25
        sign, tail = torch.sign(u - 0.5), -(1 - 2 * (u - 0.5).abs()).clamp_min(2.0**-25).log()
        standard = torch.stack(
            [random.normal(random.fold(keys, 4), (draws,)), 12**0.5 * (u - 0.5), sign * tail / 2**0.5, -u.log() - 1]
        )
        drawn = standard[(4 * kind).long(), torch.arange(sets)]  # deviation 1, mean 0
        return (mean[:, None] + spread[:, None] * drawn)[..., None], mean, spread

    def episodes(self, first: int, count: int) -> Episode:
        steps = SETS // A_STEP
        x = torch.stack(
            [self.described((i % steps) * A_STEP, A_STEP)[0].flatten(0, 1) for i in range(first, first + count)]
        )
        y = torch.arange(A_STEP).repeat_interleave(DRAWS).expand(count, -1)
        present, keys = torch.ones(count, A_STEP, dtype=torch.bool), random.mix(0, torch.arange(first, first + count))
        return Episode(Batch(x, y, classes=present, key=keys), Batch(x[:, :0], y[:, :0]))

    def describe(self) -> dict[str, object]:
        return {"kind": "sets", "score": "accuracy"}


def sets() -> dict[str, Any]:
    """R2 of a linear regression from E[c], on sets of training and on new ones; the bound by size of the set."""
    values = {"warp": False, "code_channels": 3, "latent": 8, "noise": 1.0}
    which, source = make_learner(VIML, values, (1,), A_STEP, NetworkOptions(width=64)), Distributions()
    config = TrainConfig(steps=EPOCHS * SETS // A_STEP, meta_batch_size=1, meta_lr=1e-3, seed=0, plan="loop", clip=0.5)
    start = time.process_time()
    params = meta_train(which, source, config)
    spent = time.process_time() - start

    def adapted(first: int, count: int, draws: int = DRAWS) -> tuple[Any, Tensor, Tensor]:
        x, mean, deviation = source.described(first, count, draws)
        y, key = torch.arange(count).repeat_interleave(draws), random.mix(1, first)
        batch = Batch(x.flatten(0, 1), y, classes=torch.ones(count, dtype=torch.bool), key=key)
        return which.adapt(params, batch), mean, deviation

    def fitted(first: int) -> dict[str, float]:
        known, *truth = adapted(first, 2000)
        of = torch.cat([known.code.mean, torch.ones(2000, 1)], 1).double()
        result = {}
        for name, y in zip(("mean", "deviation"), truth, strict=True):
            left = y - of @ torch.linalg.lstsq(of, y.double()[:, None]).solution[:, 0]
            result[name] = 1 - float(left.var() / y.var())
        return result

    def bound(draws: int) -> float:
        """For each example, in nats, with one divergence of c a set."""
        total = 0.0
        for i in range(20):
            x = source.described(SETS + 16 * i, A_STEP, draws)[0].flatten(0, 1)
            y, present = torch.arange(A_STEP).repeat_interleave(draws), torch.ones(A_STEP, dtype=torch.bool)
            batch = Batch(x, y, classes=present, key=random.mix(2, i))
            total -= float(which.loss(params, Episode(batch, Batch(x[:0], y[:0])))[0]) / 20
        return total

    with torch.no_grad():
        rows = {"training sets": fitted(0), "new sets": fitted(SETS), "cpu seconds": spent}
        rows["bound by size"] = {n: bound(n) for n in (1, 5, 20, 50, 200)}
    print(rows, flush=True)
    return rows


def before() -> dict[str, Any]:
    """A meta-step behind a generator over one of the learner alone, by processor time, in turns on the same tasks."""
    encoder = Conv4(outputs=None, width=32, pool="max")
    learners: dict[str, tuple[Learner[Any], int]] = {
        "protonet, 20 ways": (ProtoNet(encoder=encoder), 20),
        "maml, 5 ways": (MAML(model=Conv4(outputs=5, width=32), inner_lr=0.4, inner_steps=1), 5),
    }
    ways_of_adding: dict[str, dict[str, Any]] = {
        "extra 2": {"extra": 2, "share": 0.0},
        "extra 2, share 0.3": {"extra": 2, "share": 0.3},
        "extra 0, share 0.3 between layers": {"extra": 0, "share": 0.3, "between": "layers"},
    }
    pool, rows = datasets.load("kanji", Context()).train, {}
    for name, (which, ways) in learners.items():
        episodes = EpisodeSampler(pool=pool, ways=ways, shots=1, queries=5).episodes(0, AHEAD)
        added = {k: TaskGenerator(learner=which, generator=learner(), **v) for k, v in ways_of_adding.items()}
        steps = {k: _steps(one, episodes) for k, one in {"alone": which, **added}.items()}
        times: dict[str, list[float]] = {side: [] for side in steps}
        for i in range(1 + AHEAD_ROUNDS):
            for side, work in steps.items():
                start = time.process_time()
                work()
                if i:  # the first is for warming up
                    times[side].append((time.process_time() - start) * 1e3 / AHEAD)
        rows[name] = {"alone": statistics.median(times["alone"])}
        for side in added:
            ratios = sorted(b / a for a, b in zip(times["alone"], times[side], strict=True))
            middle = [ratios[0], statistics.median(ratios), ratios[-1]]
            rows[name][side] = {"ms": statistics.median(times[side]), "times": middle}
        print(name, rows[name], flush=True)
    return rows


def _steps(which: Learner[Any], episodes: Episode) -> Callable[[], None]:
    """A meta-step on each of some tasks: a share of them are of new classes."""
    params, update = which.init(0), Descent(plan=Plan("loop", layout="channels_last"))
    tasks = [tree.slice(episodes, slice(i, i + 1)) for i in range(AHEAD)]
    state = update.begin(which, params, tasks[0])

    def steps() -> None:
        nonlocal params, state
        for task in tasks:
            params, state, _ = update.step(which, params, state, task, 0, 1e-3)

    return steps


PARTS = {"speed": speed, "sets": sets, "before": before}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.viml", description=__doc__)
    parser.add_argument("what", choices=list(PARTS))
    what = parser.parse_args().what
    torch.set_num_threads(1)
    keep_memory()
    kept = json.loads(PLACE.read_text()) if PLACE.exists() else {}
    about = {"date": str(date.today()), "machine": machine.describe()}
    kept[what] = about | {"rows": PARTS[what]()}
    PLACE.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
