"""What pruners save, and what a second worker does: `python -m benchmarks.studies pruners | workers`.

`pruners`: the same study of MAML on sinusoids with each pruner, from two seeds: the share of the meta-steps that were
trained, and the winner's validation error. `workers`: 20 trials of equal length by one process and by two, on an idle
machine with two cores; the ratio of their wall times, in the same run.
"""

import argparse
import contextlib
import io
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from benchmarks import machine
from innerloop.runs import Options, defaults
from innerloop.studies.final import rows_of
from innerloop.studies.pruning import Pruner
from innerloop.studies.settings import StudyOptions
from innerloop.studies.study import tune

TRIALS, STEPS = 12, 400
SEEDS = (0, 1)
WORKER_TRIALS, WORKER_STEPS = 20, 300


def options(steps: int, seed: int = 0, **train: Any) -> Options:
    usual = defaults("maml", "sinusoid")
    return replace(usual, train=replace(usual.train, steps=steps, seed=seed, **train))


def pruners() -> dict[str, Any]:
    """By pruner: the share of steps that were trained, the winner's error and the defaults', of each seed."""
    result: dict[str, Any] = {}
    for name in get_args(Pruner):
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as out, contextlib.redirect_stderr(io.StringIO()):
                settings = StudyOptions(trials=TRIALS, pruner=name, seeds=0)
                study = tune(options(STEPS, seed), settings, Path(out) / "study")
            rows = rows_of(study)
            steps = sum(row.steps or 0 for row in rows) / (TRIALS * STEPS)
            best = min(row.value for row in rows if row.state == "COMPLETE" and row.value is not None)
            cpu = sum(row.cpu_seconds or 0 for row in rows)
            pruned = sum(row.state == "PRUNED" for row in rows)
            entry = {"steps": round(steps, 3), "winner": best, "defaults": rows[0].value, "pruned": pruned, "cpu": cpu}
            result.setdefault(name, []).append(entry)
            print(name, seed, entry, flush=True)
    return result


def workers() -> dict[str, Any]:
    """Wall seconds of one worker and of two, and their ratio."""
    seconds = {}
    # One plan for all, so that no time is spent on choosing it while another process disturbs the clock.
    asked = options(WORKER_STEPS, plan="vmap", unchecked=True)
    for count in (1, 2):
        with tempfile.TemporaryDirectory() as out, contextlib.redirect_stderr(io.StringIO()):
            settings = StudyOptions(trials=WORKER_TRIALS, pruner="none", workers=count, seeds=0)
            begun = time.perf_counter()
            tune(asked, settings, Path(out) / "study")
            seconds[count] = time.perf_counter() - begun
    return {"one": seconds[1], "two": seconds[2], "ratio": seconds[1] / seconds[2]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("pruners", "workers"))
    part = {"pruners": pruners, "workers": workers}[parser.parse_args().part]
    print(json.dumps({"machine": machine.describe(), **part()}, indent=2))
