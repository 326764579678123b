"""What the processes of `test_distributed.py` run: `torchrun -m tests.engine.worker <folder> <changes as JSON> ...`.

One training for each argument after the folder, each in a folder of its own.
"""

import json
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from innerloop.core.errors import InnerloopError
from innerloop.core.model import Module
from innerloop.core.types import Episode, Params
from innerloop.engine import Interrupted, Stop, TrainConfig, Watcher, distributed, meta_train
from innerloop.learners.gradient.maml import MAML
from tests.problems import NeedlesInNoise, classifier


class Double(MAML):
    """So that rounding is far below everything that is compared."""

    def init(self, seed: int) -> Params:
        return {k: v.double() for k, v in super().init(seed).items()}


@dataclass(frozen=True)
class Tasks(NeedlesInNoise):
    pause: float = 0.0
    """Seconds a meta-batch takes longer, so that there is time for a signal."""
    crash: tuple[int, int] = (-1, -1)
    """Rank that crashes, and after how many episodes."""

    def episodes(self, first: int, count: int) -> Episode:
        time.sleep(self.pause)
        if os.environ.get("RANK") == str(self.crash[0]) and first >= self.crash[1]:
            raise KeyError("crash")
        return super().episodes(first, count)


LEARNER = Double(model=Module(classifier))
CONFIG = TrainConfig(
    steps=6,
    meta_batch_size=5,
    meta_lr=0.5,
    optimizer="sgd",
    validate_every=3,
    validation_episodes=4,
    checkpoint_every=4,
    plan="loop",
)


@dataclass(frozen=True)
class Stopper(Watcher):
    after: int

    def started(self, run: Path | None, config: TrainConfig, record: dict[str, Any]) -> None:
        assert os.environ.get("RANK", "0") == "0", "the others have no watchers"

    def step(self, number: int, metrics: dict[str, float]) -> None:
        if number == self.after:
            raise Stop("enough")


def train(out: Path, pause: float = 0.0, crash: Any = (-1, -1), stop: int = 0, **changes: Any) -> Params:
    tasks, config = Tasks(pause=pause, crash=tuple(crash)), replace(CONFIG, **changes)
    return meta_train(LEARNER, tasks, config, out, NeedlesInNoise(seed=5), watchers=(Stopper(stop),))


def main(folder: Path, *changes: str) -> int:
    rank = os.environ["RANK"]
    (folder / f"{rank}.pid").write_text(str(os.getpid()))
    try:
        for i, change in enumerate(changes):
            params = train(folder / str(i), **json.loads(change))
            torch.save(params, folder / f"{i}.{rank}.pt")
    except (InnerloopError, Interrupted) as error:  # as the command line does
        if distributed.mine_to_say(error):
            print(f"innerloop: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    from tests.engine import worker  # a run names its classes: they must not be those of `__main__`

    sys.exit(worker.main(Path(sys.argv[1]), *sys.argv[2:]))
