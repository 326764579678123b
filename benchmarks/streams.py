"""Learners of a stream beside plain PyTorch loops of the same algorithms: rows a second, and memory that stays.

    python -m benchmarks.streams     # some five minutes of one core

An MLP 64-100-100-10 sees batches of 10 rows; memories have 200 places. Ours is `recorded_observe`, as it is and
compiled; the loops are ordinary modules, autograd and `torch.optim`, with a memory that is written in place and
Python's own random numbers. They draw other rows than ours, but as many. Memory is that of a process after 1,000 rows
and after 100,000.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from benchmarks import child, machine
from innerloop.core import tree
from innerloop.core.allocator import keep_memory
from innerloop.core.online import OnlineLearner
from innerloop.core.random import mix
from innerloop.core.types import Batch
from innerloop.engine.observe import recorded_observe
from innerloop.learners.online.agem import AGEM
from innerloop.learners.online.ewc import EWC
from innerloop.learners.online.la_maml import LaMAML
from innerloop.learners.online.replay import Replay
from innerloop.nn.mlp import MLP

PLACE = Path(__file__).with_name("streams.json")
INPUTS, CLASSES, BATCH, MEMORY, RATE = 64, 10, 10, 200, 0.1
REFERENCE = AGEM(model=MLP()).reference
BATCHES, ROUNDS = 300, 9
MODEL = MLP(inputs=INPUTS, hidden=(100, 100), outputs=CLASSES)
LEARNERS: dict[str, OnlineLearner[Any]] = {
    "replay": Replay(model=MODEL, memory=MEMORY),
    "agem": AGEM(model=MODEL, memory=MEMORY),
    "ewc": EWC(model=MODEL),
    "la_maml": LaMAML(model=MODEL, memory=MEMORY),
}
COMPILED = ("replay", "agem", "ewc")
"""What is compiled as well; the rows of `la_maml`, one after another, are many operators."""
Observe = Callable[[Tensor, Tensor], None]


def rows(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """[count, 10, 64] noise and its classes: speed does not depend on what is learned."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, BATCH, INPUTS, generator=generator)
    return x, torch.randint(CLASSES, (count, BATCH), generator=generator)


class Ours:
    """A stream of one of our learners, whose state is kept."""

    def __init__(self, name: str, compiled: bool = False):
        learner, known, x = LEARNERS[name], torch.ones(CLASSES, dtype=torch.bool), torch.zeros(BATCH, INPUTS)
        self.like = Batch(x, torch.zeros(BATCH, dtype=torch.int64), classes=known, key=mix(0, 0))
        params = learner.init(0)
        self.observe, self.state = recorded_observe(learner, params, compiled), learner.begin(params, self.like)

    def __call__(self, x: Tensor, y: Tensor) -> None:
        self.state = self.observe(self.state, self.like._replace(x=x, y=y))

    def bytes(self) -> int:
        """What the state takes."""
        return sum(leaf.nbytes for leaf in tree.flatten(self.state))


class PlainMemory:
    """A reservoir that is written in place."""

    def __init__(self) -> None:
        self.x, self.y, self.seen = torch.zeros(MEMORY, INPUTS), torch.zeros(MEMORY, dtype=torch.int64), 0

    def add(self, x: Tensor, y: Tensor) -> None:
        for i in range(len(x)):
            place = self.seen if self.seen < MEMORY else random.randrange(self.seen + 1)
            if place < MEMORY:
                self.x[place], self.y[place] = x[i], y[i]
            self.seen += 1

    def beside(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """A batch joined with as many rows."""
        drawn = self.draw(len(x))
        return torch.cat([x, drawn[0]]), torch.cat([y, drawn[1]])

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        place = torch.randperm(min(self.seen, MEMORY))[:count]
        return self.x[place], self.y[place]


def plain_replay() -> Observe:
    network, memory = MODEL.build(), PlainMemory()
    descent = torch.optim.SGD(network.parameters(), RATE)

    def step(x: Tensor, y: Tensor) -> None:
        descent.zero_grad()
        beside = memory.beside(x, y)
        F.cross_entropy(network(beside[0]), beside[1]).backward()
        descent.step()
        memory.add(x, y)

    return step


def plain_agem() -> Observe:
    network, memory = MODEL.build(), PlainMemory()
    descent, weights = torch.optim.SGD(network.parameters(), RATE), list(network.parameters())

    def slope(x: Tensor, y: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(F.cross_entropy(network(x), y), weights))

    def step(x: Tensor, y: Tensor) -> None:
        slopes = slope(x, y)
        if memory.seen:
            reference = slope(*memory.draw(REFERENCE))
            along = sum((g * r).sum() for g, r in zip(slopes, reference, strict=True))
            if along < 0:
                along = along / sum(r.square().sum() for r in reference)
                slopes = [g - along * r for g, r in zip(slopes, reference, strict=True)]
        for w, g in zip(weights, slopes, strict=True):
            w.grad = g
        descent.step()
        memory.add(x, y)

    return step


def plain_ewc() -> Observe:
    """Squares of single gradients by `vmap(grad)`, as one would write them today: ten backward passes take longer."""
    network, ewc = MODEL.build(), EWC(model=MODEL)
    descent = torch.optim.SGD(network.parameters(), RATE)
    weights = dict(network.named_parameters())
    fisher, importance = ({k: torch.zeros_like(w) for k, w in weights.items()} for _ in range(2))
    anchor = {k: w.detach().clone() for k, w in weights.items()}

    def loss(w: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(network, w, (x[None],)), y[None])

    singly = vmap(grad(loss), in_dims=(None, 0, 0))

    def step(x: Tensor, y: Tensor) -> None:
        slopes = singly({k: w.detach() for k, w in weights.items()}, x, y)
        for k, g in slopes.items():
            fisher[k].mul_(ewc.fisher_decay).add_(g.square().mean(0), alpha=1 - ewc.fisher_decay)
        descent.zero_grad()
        penalty = sum((importance[k] * (w - anchor[k]).square()).sum() for k, w in weights.items())
        (F.cross_entropy(network(x), y) + 0.5 * ewc.strength * penalty).backward()
        descent.step()

    return step


def plain_la_maml() -> Observe:
    """As the authors' code runs it, a loss beside the memory after every row, and one backward pass of their sum."""
    network, memory, ours = MODEL.build(), PlainMemory(), LaMAML(model=MODEL)
    weights = list(network.parameters())
    names = [name for name, _ in network.named_parameters()]
    rates = [nn.Parameter(torch.full_like(w, ours.inner_lr)) for w in weights]
    descent = torch.optim.SGD(rates, ours.rate_lr)

    def loss(values: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(network, dict(zip(names, values, strict=True)), (x,)), y)

    def step(x: Tensor, y: Tensor) -> None:
        beside, fast, total = memory.beside(x, y), list(weights), torch.zeros(())
        for i in range(len(x)):
            slopes = torch.autograd.grad(loss(fast, x[i : i + 1], y[i : i + 1]), fast)
            slopes = [g.clamp(-ours.inner_clip, ours.inner_clip) for g in slopes]
            fast = [w - a.relu() * g for w, a, g in zip(fast, rates, slopes, strict=True)]
            total = total + loss(fast, *beside)
        network.zero_grad()
        descent.zero_grad()
        (total / len(x)).backward()
        for values in (weights, rates):
            nn.utils.clip_grad_norm_(values, ours.inner_clip)
        descent.step()
        with torch.no_grad():
            for w, a in zip(weights, rates, strict=True):
                assert w.grad is not None
                w -= a.relu() * w.grad
        memory.add(x, y)

    return step


PLAIN = {"replay": plain_replay, "agem": plain_agem, "ewc": plain_ewc, "la_maml": plain_la_maml}


def speed() -> dict[str, Any]:
    """Rows a second of processor time, in turns within one process, and the median of the rounds' ratios."""
    found, (x, y) = {}, rows(BATCHES)
    for name, plain in PLAIN.items():
        sides: dict[str, Observe] = {"ours": Ours(name), "plain": plain()}
        if name in COMPILED:
            sides["compiled"] = Ours(name, compiled=True)
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(ROUNDS + 1):
            for side, step in sides.items():
                start = time.process_time()
                for i in range(BATCHES):
                    step(x[i], y[i])
                if number:  # the first one records, and fills the memory
                    seconds[side].append(time.process_time() - start)
        found[name] = {side: round(BATCHES * BATCH / statistics.median(times)) for side, times in seconds.items()}
        for side in sides.keys() - {"plain"}:
            ratios = sorted(b / a for a, b in zip(seconds[side], seconds["plain"], strict=True))
            found[name][f"{side} to plain"] = [round(r, 3) for r in (ratios[0], statistics.median(ratios), ratios[-1])]
        print(name, found[name], flush=True)
    return found


def memory(name: str, count: int) -> dict[str, int]:
    """Bytes of a learner's state, and what this process holds in kB, after so many rows; a fresh process tells it."""
    x, y = rows(50)
    step = Ours(name)
    for i in range(count // BATCH):
        step(x[i % 50], y[i % 50])
    return {"state": step.bytes(), "resident": child.resident("VmRSS") // 1024}


def flat_memory() -> dict[str, Any]:
    """Of each learner after 1,000 and after 100,000 rows, each in a process of its own."""
    found = {}
    for name in LEARNERS:
        few, many = (
            json.loads(subprocess.check_output([sys.executable, "-m", "benchmarks.streams", name, str(count)]))
            for count in (1_000, 100_000)
        )
        found[name] = {k: [few[k], many[k], round(many[k] / few[k], 3)] for k in few}
        print(name, found[name], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams", description=__doc__)
    parser.add_argument("learner", nargs="?", choices=tuple(LEARNERS), help="print the memory of this one alone")
    parser.add_argument("rows", nargs="?", type=int, default=1_000, help="after so many rows")
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    if args.learner:
        print(json.dumps(memory(args.learner, args.rows)))
        return
    about = {"date": str(date.today()), "machine": machine.describe()}
    PLACE.write_text(json.dumps(about | {"rows a second": speed(), "memory": flat_memory()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
