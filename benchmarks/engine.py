"""How the engine's plans compare on the same meta-batches: `make bench`, or `python -m benchmarks.engine`.

Contenders take turns; quoted are medians and ratios to the loop of the same run. Turns do not cancel a busy machine,
which moves the ratios many times over in either direction: what other processes used meanwhile is measured and written
beside them.
"""

import argparse
import os
import platform
import statistics
import time
from datetime import date
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track

from innerloop.core import random, tree
from innerloop.core.learner import Learner
from innerloop.core.objectives import regression
from innerloop.core.types import Batch, Episode
from innerloop.engine import meta_gradient
from innerloop.engine.plan import NAMES, Plan, cores
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import MLP
from innerloop.tasks import Sinusoid

BUSY = 0.1
"""Share of the machine's cores in use by others above which the ratios mean nothing."""
RESULTS = Path(__file__).parent / "RESULTS.md"


def pictures(tasks: int, ways: int, queries: int, size: int = 28) -> Episode:
    """Noise in the shape of 1-shot episodes: speed does not depend on what is drawn."""

    def batch(key: torch.Tensor, each: int) -> Batch:
        y = torch.arange(ways).repeat_interleave(each).expand(tasks, -1)
        x = random.uniform(key, (tasks, ways * each, 1, size, size))
        return Batch(x, y, classes=torch.ones(tasks, ways, dtype=torch.bool))

    return Episode(batch(torch.tensor(1), 1), batch(torch.tensor(2), queries))


def workloads() -> dict[str, tuple[Learner, Episode]]:
    """Name -> learner and meta-batch."""
    strided, sinusoids = Conv4(pool="stride"), Sinusoid(shots=10, queries=10).episodes(0, 25)
    regress = MAML(model=MLP(), inner_lr=0.01, objective=regression)
    return {
        "sinusoid MLP 40-40, MAML, 25 tasks, 1 step": (regress, sinusoids),
        "Conv-4-64 stride 2, MAML, 5w1s15q, 32 tasks, 1 step": (MAML(model=strided), pictures(32, 5, 15)),
        "Conv-4-64 stride 2, MAML, 5w1s15q, 8 tasks, 5 steps": (MAML(model=strided, inner_steps=5), pictures(8, 5, 15)),
        "Conv-4-64 stride 2, FOMAML, 5w1s15q, 32 tasks, 1 step": (
            MAML(model=strided, first_order=True),
            pictures(32, 5, 15),
        ),
        "Conv-4-64 max-pool, ProtoNet, 20w1s5q, 4 tasks": (ProtoNet(encoder=Conv4(outputs=None)), pictures(4, 20, 5)),
    }


def measure(learner: Learner, episodes: Episode, rounds: int) -> dict[str, list[float]]:
    """Seconds of one meta-gradient by each plan, interleaved, after a warm-up."""
    params, seconds = learner.init(0), {name: [] for name in NAMES}
    for turn in range(rounds + 1):
        for name in NAMES:
            start = time.perf_counter()
            meta_gradient(learner, params, episodes, Plan(name))
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="counted rounds of each workload")
    rounds = parser.parse_args().rounds
    start, before = time.perf_counter(), elsewhere()
    lines = [
        "# Results",
        "",
        f"{date.today()}, {processor()}, {cores()} cores, torch {torch.__version__}, Python "
        f"{platform.python_version()}; `python -m benchmarks.engine --rounds {rounds}`. One meta-gradient, median "
        "milliseconds [min to max], and how many times faster than the loop of the same run. Machines are shared: read "
        "differences under 20% as ties.",
        "",
        f"| workload | {' | '.join(NAMES)} |",
        f"| --- |{' --- |' * len(NAMES)}",
    ]
    for title, (learner, episodes) in track(workloads().items(), "measuring", console=Console(stderr=True)):
        seconds = measure(learner, tree.map(torch.Tensor.contiguous, episodes), rounds)
        base = statistics.median(seconds["loop"])
        cells = []
        for name in NAMES:
            low, middle, high = (1e3 * f(seconds[name]) for f in (min, statistics.median, max))
            cells.append(f"{middle:,.1f} [{low:,.1f} to {high:,.1f}], {1e3 * base / middle:.2f}x")
        lines.append(f"| {title} | {' | '.join(cells)} |")
        print(lines[-1])
    lines[4:4] = [noise(before, elsewhere(), time.perf_counter() - start), ""]
    print(lines[4])
    RESULTS.write_text("\n".join(lines) + "\n")
    print(f"written to {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}")


def elsewhere() -> float | None:
    """CPU seconds since boot of all but this process, stolen ones included; None where the system does not tell."""
    if not os.path.exists("/proc/stat"):
        return None
    ticks = [int(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle, waiting, mine = ticks[3], ticks[4], os.times()
    return (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK") - mine.user - mine.system


def noise(before: float | None, after: float | None, seconds: float) -> str:
    """What other processes did in the `seconds` between two readings of `elsewhere`, as a sentence."""
    if before is None or after is None:
        return "How busy the machine was otherwise is not known."
    share = max(0.0, after - before) / (seconds * (os.cpu_count() or 1))
    said = f"Other processes used {share:.0%} of the processor meanwhile"
    return f"**{said}: quote none of these ratios, measure again on an idle machine.**" if share > BUSY else f"{said}."


def processor() -> str:
    """The processor's name, as far as the system tells."""
    if os.path.exists("/proc/cpuinfo"):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
