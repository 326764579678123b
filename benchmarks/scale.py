"""Whether the cost model of `docs/scale.md` holds: `python -m benchmarks.scale` prints that page's tables.

Its constants come from one process with half and a quarter of a meta-batch (a task, and what a step costs besides) and
from all-reduces of two sizes that no workload has. What it predicts for 1, 2 and 4 processes is then measured in
`meta_train` itself.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from benchmarks.machine import elsewhere, noise, processor
from benchmarks.problems import pictures, sinusoids
from innerloop.core import tree
from innerloop.core.learner import Learner
from innerloop.core.objectives import regression
from innerloop.core.threads import cores
from innerloop.core.types import Episode
from innerloop.engine import TrainConfig, distributed, meta_train
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import MLP

WORLDS = (1, 2, 4)
SMALL, LARGE = 1_000, 4_000_000
"""Numbers in the two all-reduces."""


@dataclass(frozen=True, kw_only=True)
class Work:
    learner: Learner
    made: Episode
    steps: int

    @property
    def batch(self) -> int:
        return tree.length(self.made)


@dataclass(frozen=True)
class Ready:
    """A sampler of tasks that lie in memory: speed does not depend on what is drawn."""

    made: Episode

    def episodes(self, first: int, count: int) -> Episode:
        return tree.map(lambda leaf: leaf[torch.arange(first, first + count) % len(leaf)], self.made)

    def describe(self) -> dict[str, Any]:
        return {"kind": "ready"}


def workloads() -> dict[str, Work]:
    strided = MAML(model=Conv4(pool="stride"))
    narrow = MAML(model=MLP(), inner_lr=0.01, objective=regression)
    wide = replace(narrow, model=MLP(hidden=(1024, 1024)), first_order=True)
    return {
        "sinusoid, MLP 40-40, MAML": Work(learner=narrow, made=sinusoids(25), steps=60),
        "5w1s15q, Conv-4-64 stride 2, MAML": Work(learner=strided, made=pictures(32, 5, 15), steps=12),
        "sinusoid, MLP 1024-1024, FOMAML": Work(learner=wide, made=sinusoids(16), steps=30),
    }


def steps(work: Work, batch: int) -> list[float]:
    """Seconds of every meta-step but the first two, as the run's own log has them."""
    # One thread a process and one task after another: what is to be seen is what processes do.
    config = TrainConfig(steps=work.steps, meta_batch_size=batch, plan="loop")
    with tempfile.TemporaryDirectory() as folder:
        meta_train(work.learner, Ready(work.made), config, folder)
        log = Path(folder) / "metrics.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []  # the first process alone keeps one
    return [batch / json.loads(line)["tasks_per_second"] for line in lines[2:]]


def reduces(numbers: int, rounds: int = 30) -> list[float]:
    """Seconds of what the engine does to average a gradient of so many numbers."""
    seconds, gradient, loss = [], {"w": torch.zeros(numbers)}, {"loss": torch.zeros(())}
    with distributed.join() as world:
        for _ in range(rounds):
            start = time.perf_counter()
            world.mean(gradient, loss, 0.5, False)
            seconds.append(time.perf_counter() - start)
    return seconds[3:]


def measured() -> dict[str, Any]:
    """What one of the processes of a world finds."""
    size = distributed.join().size
    torch.set_num_threads(1)
    found: dict[str, Any] = {name: steps(work, work.batch) for name, work in workloads().items()}
    if size == 1:  # the two points that the line goes through
        for part in (2, 4):
            found |= {
                f"{name} / {part}": steps(work, math.ceil(work.batch / part)) for name, work in workloads().items()
            }
    found |= {"small": reduces(SMALL), "large": reduces(LARGE)}
    return found


def start(size: int) -> dict[str, Any]:
    """Measure a world of processes of this machine."""
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", str(size), "-m", "benchmarks.scale", "--inside"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *launch], stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"measuring {size} processes failed: see above")
    return json.loads(done.stdout.splitlines()[-1])


@dataclass(frozen=True, kw_only=True)
class Model:
    """`seconds(R) = task * ceil(B / R) * max(1, R / cores) + fixed + latency(R) + bytes * per_byte(R)`."""

    task: float
    fixed: float
    latency: float = 0.0
    per_byte: float = 0.0

    def seconds(self, batch: int, size: int, sent: int) -> float:
        crowded = max(1.0, size / cores())
        return self.task * math.ceil(batch / size) * crowded + self.fixed + self.latency + self.per_byte * sent


def fitted(work: Work, half: list[float], quarter: list[float]) -> Model:
    low, high = statistics.median(quarter), statistics.median(half)
    few, many = math.ceil(work.batch / 4), math.ceil(work.batch / 2)
    task = (high - low) / (many - few)
    return Model(task=task, fixed=max(0.0, low - few * task))


def with_reduces(model: Model, small: list[float], large: list[float]) -> Model:
    low, high = statistics.median(small), statistics.median(large)
    per_byte = max(0.0, (high - low) / (4 * (LARGE - SMALL)))
    return replace(model, latency=low - per_byte * 4 * SMALL, per_byte=per_byte)


def spread(seconds: list[float]) -> str:
    low, middle, high = (1e3 * q for q in statistics.quantiles(seconds, n=4))
    return f"{middle:,.2f} [{low:,.2f} to {high:,.2f}]"


def tables(found: dict[int, dict[str, Any]]) -> list[str]:
    lines = ["| processes | latency, ms | ms a megabyte |", "| --- | --- | --- |"]
    links = {size: with_reduces(Model(task=0, fixed=0), f["small"], f["large"]) for size, f in found.items()}
    lines += [f"| {r} | {1e3 * m.latency:.2f} | {1e9 * m.per_byte:.2f} |" for r, m in links.items() if r > 1]
    head = "| workload | tasks | kB a step | processes | predicted, ms | measured, ms | error | against one |"
    lines += ["", head, "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for name, work in workloads().items():
        one = found[1][name]
        model = fitted(work, found[1][f"{name} / 2"], found[1][f"{name} / 4"])
        sent = 4 * (sum(v.numel() for v in work.learner.init(0).values()) + 3)
        for size, f in found.items():
            link = with_reduces(model, f["small"], f["large"]) if size > 1 else model
            guess, real = link.seconds(work.batch, size, sent), statistics.median(f[name])
            lines.append(
                f"| {name} | {work.batch} | {sent / 1e3:,.0f} | {size} | {1e3 * guess:,.2f} | {spread(f[name])} "
                f"| {guess / real - 1:+.0%} | {statistics.median(one) / real:.2f}x |"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inside", action="store_true", help="be one of the processes that are measured")
    if parser.parse_args().inside:
        found = measured()
        if distributed.join().rank == 0:
            print(json.dumps(found))
        return
    began, before, found = time.perf_counter(), elsewhere(), {}
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("measuring", total=len(WORLDS))
        for size in WORLDS:
            found[size] = start(size)
            bar.advance(task)
    used = os.times()
    after = elsewhere(used.children_user + used.children_system)
    print(
        f"{date.today()}, {processor()}, {cores()} cores, torch {torch.__version__}, Python "
        f"{platform.python_version()}, gloo; `python -m benchmarks.scale`. Median of a meta-step [quartiles]; one "
        f"thread a process. {noise(before, after, time.perf_counter() - began)}\n"
    )
    print("\n".join(tables(found)))


if __name__ == "__main__":
    main()
