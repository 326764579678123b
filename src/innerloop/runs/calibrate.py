"""How far the probabilities of a run can be believed, measured on its meta-validation classes and kept with it."""

from pathlib import Path

from innerloop.core.complaints import complain
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.types import Params, Sampler
from innerloop.engine import checkpoint
from innerloop.engine import load as load_run
from innerloop.evaluate import calibration
from innerloop.evaluate.calibration import EPISODES, Calibration
from innerloop.problems import of_record


def calibrate(run: str | Path, context: Context = Context(), episodes: int = EPISODES) -> Calibration:
    """Measure a run folder and write its `calibration.json`.

    Args:
        run: The folder.
        context: Where data sets lie, and what the run may name.
        episodes: How many meta-validation tasks at most.

    Raises:
        InputError: Not a run on classes, its learner gives no probabilities, or its data have too few meta-validation
            classes.
    """
    task = (checkpoint.read_config(run).get("record") or {}).get("task")
    # A run that Python made keeps no problem from which tasks could be drawn.
    if not task:
        raise InputError(f"{run} does not say what it was trained on, so there are no tasks to calibrate it on")
    learner, params = load_run(run, context.allow)
    if not learner.gives_probabilities:
        raise InputError(f"{type(learner).__name__} gives scores and no probabilities: there is nothing to calibrate")
    problem = of_record(task)
    sampler = problem.calibrating(problem.load(context))
    if sampler is None:
        raise InputError(
            f"{problem.data} has too few meta-validation classes to calibrate a run on: give data with more classes"
        )
    return keep(run, learner, params, sampler, episodes)


def keep(run: str | Path, learner: Learner, params: Params, sampler: Sampler, episodes: int = EPISODES) -> Calibration:
    """The calibration of a run folder; it is measured unless the folder has that of these very parameters.

    One of release 0.1.0 is measured again: its threshold was measured with a class less than it is used with.
    """
    of = checkpoint.fingerprint(params, learner)
    # Kept where it is of these parameters: the same training command may be typed many times.
    measured = calibration.read(run, of)
    if measured is None or (measured.threshold is not None and measured.ways is None):
        measured = calibration.calibrate(learner, params, sampler, episodes)
        calibration.write(run, measured, of)
    return measured


def keep_if_possible(run: str | Path, learner: Learner, params: Params, sampler: Sampler) -> None:
    """`keep`, which at the end of a long training must not fail."""
    # Small data and diverged logits are refused, and neither makes the parameters less trained.
    try:
        keep(run, learner, params, sampler)
    except InputError as error:
        complain(f"{run} is trained, and was not calibrated: {error}")
