"""A training whose steps become many times slower says so, once, where they are on several cores."""

import pytest
import torch

from innerloop.engine import slow_steps
from innerloop.engine.slow_steps import SlowSteps


@pytest.mark.parametrize(
    ("speeds", "cores", "told"),
    [
        ([50, *[1000] * 5, *[20] * 40], 2, True),
        ([50, *[1000] * 5, *[20] * 40], 1, False),
        ([50, *[1000] * 5, *[200] * 40], 2, False),  # five times as slow
        ([50, *[1000] * 5, *[20] * 7], 2, False),  # too few
        ([1000, *[20, 20, 20, 1000] * 10], 2, False),  # not in a row
        ([20] * 40, 2, False),  # slow from the beginning
    ],
)
def test_slow_steps_are_told_once(speeds, cores, told, monkeypatch, capsys):
    now = 0.0
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    monkeypatch.setattr(slow_steps.time, "monotonic", lambda: now)
    watcher = SlowSteps()
    for number, speed in enumerate(speeds):
        now += 8 / speed
        watcher.step(number, {"tasks_per_second": speed})
    said = capsys.readouterr().err
    assert ("steps take 50 times as long as the fastest one did" in said) == told and said.count("\n") == told
