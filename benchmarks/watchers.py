"""What the log and trackers cost a training on sinusoids. `python -m benchmarks.watchers [STEPS] [TRACKER ...]`.

Trainings without a folder, with one (checkpoints and `metrics.jsonl`), and with trackers, in turns. Told are processor
and wall seconds of the steps, from the first to the last, and of the whole call, in which a tracker starts and sends
the rest. Ratios are to the run with the log alone; those of processor time also hold on a busy machine.
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
    """Processor and wall seconds when the first and the last step were done."""

    first = last = (0.0, 0.0)

    def step(self, number: int, metrics: dict[str, float]) -> None:
        self.last = (time.process_time(), time.perf_counter())
        if number == WARM:
            self.first = self.last


def spent(steps: int, out: Path | None, names: list[str]) -> tuple[float, float, float]:
    """Processor and wall seconds of the steps, and wall seconds of the whole call."""
    learner = MAML(model=MLP(), objective=regression, inner_lr=0.01)
    tasks = Sinusoid(shots=10, queries=10, seed=0)
    clock, begun = Clock(), time.perf_counter()
    config = TrainConfig(steps=steps, meta_batch_size=25, plan="replay", unchecked=True)
    meta_train(learner, tasks, config, out, watchers=[clock, *trackers(names)])
    processor, wall = (b - a for a, b in zip(clock.first, clock.last, strict=True))
    return processor, wall, time.perf_counter() - begun


def main(argv: list[str]) -> None:
    steps = int(argv[0]) if argv else STEPS
    kinds: dict[str, list[str] | None] = {"nothing": None, "the log": []}
    kinds |= {name: [name] for name in (argv[1:] or TRACKERS)}
    times: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in kinds}
    for turn in range(TURNS):
        for kind, names in kinds.items():
            with tempfile.TemporaryDirectory() as folder:
                out = None if names is None else Path(folder) / "run"
                times[kind].append(spent(steps, out, names or []))
        print(f"turn {turn + 1} of {TURNS}", file=sys.stderr)
    for kind, turns in times.items():
        parts = []
        for i, what in enumerate(("processor", "wall")):
            ratios = [a[i] / b[i] for a, b in zip(turns, times["the log"], strict=True)]
            middle = statistics.median(ratios)
            parts.append(f"{what} {middle:.3f} of the log's ({min(ratios):.3f} to {max(ratios):.3f})")
        whole = statistics.median(turn[2] for turn in turns)
        print(f"{kind:<12} {steps - WARM} steps: {', '.join(parts)}; {whole:.1f} s with start and end")


if __name__ == "__main__":
    main(sys.argv[1:])
