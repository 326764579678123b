"""A trained run on unseen tasks with several numbers of shots."""

from dataclasses import replace
from pathlib import Path

from innerloop.core.context import Context
from innerloop.evaluate.by_shots import check_shots
from innerloop.evaluate.shots import by_shots
from innerloop.runs.measure import Kept, MetaTestOptions, prepare
from innerloop.runs.report import refresh


def shots_run(run: str | Path, tasks: MetaTestOptions, shots: tuple[int, ...], context: Context = Context()) -> Kept:
    """Measure a run with several numbers of shots on the same tasks, keep it there, and refresh its report.

    Args:
        run: The folder.
        tasks: Which unseen tasks.
        shots: How many labelled examples of each class.
        context: Where data sets lie, and what the run may name.

    Raises:
        InputError: Not a run; tasks that its learner cannot take, or classes with too few examples for the most shots.
    """
    shots = check_shots(shots)
    test = prepare(run, replace(tasks, shots=shots[-1], baselines=False, curve=False), context)[0]
    curve = by_shots(test.learner, test.params, test.sampler, shots, test.protocol.episodes)
    curve = replace(curve, options=dict(test.options) | {"shots": shots[-1]})
    file = curve.save(run)
    page = refresh(run, sampler=test.sampler, learner=test.learner, params=test.params, context=context)
    return Kept(curve, file, page)
