"""One trial: an ordinary run that is trained, scored on meta-validation tasks, and remembered."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from innerloop.core import files
from innerloop.core.context import Context
from innerloop.core.errors import FailedError, InnerloopError, InputError
from innerloop.engine import distributed
from innerloop.engine.checkpoint import steps_done
from innerloop.engine.validation import validate
from innerloop.runs.build import build
from innerloop.runs.options import Options
from innerloop.studies.claims import OUTCOME, REASON, Board, Claim
from innerloop.studies.pruning import Reporter
from innerloop.studies.space import Space, applied
from innerloop.studies.storage import patient


def attempt(board: Board, claim: Claim, options: Options, space: Space, context: Context, url: str) -> dict[str, Any]:
    """Train a trial, or go on with it, and store what became of it.

    Args:
        board: Of the study.
        claim: The trial.
        options: Of the run that is tuned.
        space: What is searched.
        context: As of `build`.
        url: Of the storage.

    Returns:
        Its state, value, reason and costs, as `trial.json` in its folder has them.

    Raises:
        InputError: The defaults themselves cannot be trained, or the function that is searched fails.
        FailedError: The storage went away and did not come back; the outcome is in the folder.
        Interrupted: Somebody asked to stop; the trial was given back.
    """
    first = claim.slot == 0
    begun = time.perf_counter()
    try:
        values = patient(lambda: space.suggest(claim.trial, first), url, "this trial has no values and is free again")
    except InputError:  # a function that fails does so again
        board.release(claim)
        raise
    try:
        outcome = _trained(claim, options, values, context)
    except KeyboardInterrupt:
        board.release(claim)
        raise
    except Exception as error:  # of any kind: a combination that breaks something is a bad one, and no end of the study
        if first and isinstance(error, InputError):  # what is asked for is impossible, whatever is searched
            board.release(claim)
            raise
        outcome = _failed(str(error) if isinstance(error, InnerloopError) else f"{type(error).__name__}: {error}")
    outcome |= {"number": claim.slot, "values": plain(values), "seconds": round(time.perf_counter() - begun, 1)}
    path = claim.folder / OUTCOME
    files.write(path, json.dumps(outcome, indent=2) + "\n")
    lost = f"trial {claim.slot} is over and kept in {path}; the same command stores it once the storage is back"
    patient(lambda: board.store(claim.trial._trial_id, outcome), url, lost)
    return outcome


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of options as plain JSON; what a function made of other kinds, as text."""
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


def short(value: Any) -> str:
    """A value as lines and tables print it."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _trained(claim: Claim, options: Options, values: Mapping[str, Any], context: Context) -> dict[str, Any]:
    run = build(applied(options, values), context, sealed=True)
    # Probabilities are calibrated where a run is to be used.
    run = replace(run, calibrate_on=None)
    reporter = Reporter(claim.trial, run.config, prune=claim.slot > 0)
    params = run.meta_train(claim.folder, (reporter,))
    costs = {"steps": steps_done(claim.folder), "cpu_seconds": round(reporter.cpu_seconds, 1)}
    if reporter.pruned:
        return {"state": "PRUNED", "value": reporter.latest} | costs
    assert run.validation is not None  # a study validates
    with distributed.join() as world:
        result = validate(run.learner, params, run.validation, run.config, world)
    value = result.interval.mean
    if not math.isfinite(value):
        return _failed(f"the validation {result.score.title} is {value}: inner_lr or meta_lr may be too large") | costs
    return {"state": "COMPLETE", "value": value, "ci95": result.interval.ci95} | costs


def _failed(reason: str) -> dict[str, Any]:
    return {"state": "FAIL", REASON: reason or FailedError.__name__}
