"""What the log and trackers cost a training on sinusoids. `python -m benchmarks.watchers [STEPS] [TRACKER ...]`.

Trainings without a folder, with one (checkpoints and `metrics.jsonl`), and with trackers, in turns. The time is that of
the steps, from the first to the last: a tracker's start and what it sends after the end are told apart. Ratios are to the
run with the log alone.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from innerloop.core.objectives import regression
from innerloop.engine import TrainConfig, Watcher, meta_train
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from innerloop.tasks import Sinusoid
from innerloop.track.watcher import TRACKERS, trackers

TURNS, STEPS = 5, 4000
WARM = 50
"""Steps that are not timed: the first ones record what the others repeat."""


class Clock(Watcher):
    """When the steps were done."""

    first = last = 0.0

    def step(self, number: int, metrics: dict[str, float]) -> None:
        self.last = time.perf_counter()
        if number == WARM:
            self.first = self.last


def spent(steps: int, out: Path | None, names: list[str]) -> tuple[float, float]:
    """Seconds of the steps, and of the whole call."""
    learner = MAML(model=MLP(), objective=regression, inner_lr=0.01)
    tasks = Sinusoid(shots=10, queries=10, seed=0)
    clock, begun = Clock(), time.perf_counter()
    config = TrainConfig(steps=steps, meta_batch_size=25, plan="replay", unchecked=True)
    meta_train(learner, tasks, config, out, watchers=[clock, *trackers(names)])
    return clock.last - clock.first, time.perf_counter() - begun


def main(argv: list[str]) -> None:
    steps = int(argv[0]) if argv else STEPS
    kinds: dict[str, list[str] | None] = {"nothing": None, "the log": []}
    kinds |= {name: [name] for name in (argv[1:] or TRACKERS)}
    times: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for turn in range(TURNS):
        for kind, names in kinds.items():
            with tempfile.TemporaryDirectory() as folder:
                out = None if names is None else Path(folder) / "run"
                times[kind].append(spent(steps, out, names or []))
        print(f"turn {turn + 1} of {TURNS}", file=sys.stderr)
    base = [own for own, _ in times["the log"]]
    for kind, pairs in times.items():
        own = statistics.median(a for a, _ in pairs)
        ratios = sorted(a / b for (a, _), b in zip(pairs, base, strict=True))
        whole = statistics.median(b for _, b in pairs)
        print(
            f"{kind:<12} {own:.2f} s of {steps - WARM} steps, {own / statistics.median(base):.3f} of the log's "
            f"({ratios[0]:.3f} to {ratios[-1]:.3f} in the same turn); {whole:.1f} s with start and end"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
