"""Steps that became many times slower, because another program has a core that torch's threads wait for, told once."""

import sys
import time

import torch

from innerloop.engine.watchers import Watcher

_TIMES, _STEPS, _SECONDS = 10, 10, 3.0
"""Times that steps in a row take longer than the fastest one, how many of them at least, and for how long."""


class SlowSteps(Watcher):
    """Says so where steps on several cores take many times as long as they did, and what to do."""

    def __init__(self) -> None:
        self._fastest, self._slow, self._since, self._over = 0.0, 0, 0.0, False

    def step(self, number: int, metrics: dict[str, float]) -> None:
        speed = metrics["tasks_per_second"]
        self._fastest = max(self._fastest, speed)
        if _TIMES * speed > self._fastest:
            self._slow = 0
            return
        self._slow += 1
        if self._slow == 1:
            self._since = time.monotonic()
        long = self._slow >= _STEPS and time.monotonic() - self._since >= _SECONDS
        if long and not self._over and torch.get_num_threads() > 1:
            self._over = True
            print(
                f"innerloop: steps take {self._fastest / max(speed, 1e-9):,.0f} times as long as the fastest one did: "
                "where another program uses a core, torch's threads wait for each other. With OMP_NUM_THREADS=1 in its "
                "environment a training has one core, and one that has a folder goes on from its last checkpoint",
                file=sys.stderr,
            )
