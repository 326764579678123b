"""How far the probabilities of a run can be believed, measured on its meta-validation classes and kept with it."""

import sys
from pathlib import Path
from typing import Any

from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.types import Params, Sampler
from innerloop.engine import checkpoint
from innerloop.engine import load as load_run
from innerloop.evaluate import calibration
from innerloop.evaluate.calibration import Calibration
from innerloop.tasks import EpisodeSampler, Pool
from innerloop.tasks.datasets import load

EPISODES = 40
_QUERIES = 5


def calibrate(
    run: str | Path, data_root: str | Path | None = None, allow: tuple[str, ...] = (), episodes: int = EPISODES
) -> Calibration:
    """Measure a run folder and write its `calibration.json`.

    Args:
        run: The folder.
        data_root: Where data sets lie.
        allow: Module prefixes besides `innerloop.` that the run may name.
        episodes: How many meta-validation tasks.

    Raises:
        InputError: Not a run on classes, or its data have too few meta-validation classes.
    """
    task: dict[str, Any] = (checkpoint.read_config(run).get("record") or {}).get("task") or {}
    if "split_scheme" not in task:
        raise InputError(f"{run} does not say what it was trained on, so there are no tasks to calibrate it on")
    learner, params = load_run(run, allow)
    sampler = tasks(load(task["data"], data_root, task["split_scheme"]).validation, task["ways"], task["shots"])
    if sampler is None:
        raise InputError(f"{task['data']} has too few meta-validation classes to calibrate a run on")
    return keep(run, learner, params, sampler, episodes)


def tasks(pool: Pool, ways: int, shots: int) -> EpisodeSampler | None:
    """Meta-validation tasks, with few queries so that they cost little; None where the classes do not suffice."""
    queries = min(_QUERIES, int(pool.counts.min()) - shots) if len(pool) else 0
    if len(pool) < 2 or ways < 2 or queries < 1:
        return None
    return EpisodeSampler(pool=pool, ways=min(ways, len(pool)), shots=shots, queries=queries)


def keep(run: str | Path, learner: Learner, params: Params, sampler: Sampler, episodes: int = EPISODES) -> Calibration:
    """The calibration of a run folder; it is measured unless the folder has that of these very parameters."""
    of = checkpoint.fingerprint(params, learner)
    found = calibration.read(run, of)
    if found is None:
        found = calibration.calibrate(learner, params, sampler, episodes)
        calibration.write(run, found, of)
    return found


def keep_if_possible(run: str | Path, learner: Learner, params: Params, sampler: Sampler) -> None:
    """`keep`, which at the end of a long training must not fail."""
    try:
        keep(run, learner, params, sampler)
    except InputError as error:
        print(f"innerloop: {run} is trained, and was not calibrated: {error}", file=sys.stderr)
