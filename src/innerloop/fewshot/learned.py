"""What a task learns from at a version, and what these examples say of its answers."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from innerloop.core.dry_run import capacity
from innerloop.core.errors import InputError
from innerloop.evaluate.calibration import Calibration
from innerloop.fewshot import calibrate, class_names, foreign, heads
from innerloop.fewshot.calibrate import NOTHING, Wanted
from innerloop.fewshot.class_names import Named, Use
from innerloop.fewshot.heads import Choice
from innerloop.fewshot.history import History, Label
from innerloop.fewshot.rows import floats
from innerloop.fewshot.sources import Source
from innerloop.fewshot.support import Support


def calibrated(
    source: Source, choice: Choice | None, learned: Any, given: Support, wanted: Wanted
) -> tuple[Calibration, Tensor | None]:
    """The temperature and the threshold of a task, and the gate of its scores, if it has one.

    Args:
        source: What learned.
        choice: Its head, where it takes one.
        learned: What it learned.
        given: From what.
        wanted: What is asked of "none of these".

    Raises:
        InputError: The examples are too few to say when to reject.
    """
    tuning, learner = given.tuning, heads.quick(source.learner)
    prior = source.calibration if tuning is not None else heads.prior(choice, source.calibration, learner)
    gate, before = None, None if tuning is None else torch.tensor(tuning.scores, dtype=torch.float64)
    if wanted != NOTHING:
        gate = foreign.gate(source, source.learner, source.params, learned, given.x, given.y)
    others, weight = (None, None) if gate is None else (gate.foreign, gate.weight)
    calibration = calibrate.calibrate(learner, source.params, given, wanted, prior, others, before)
    return calibration, weight


def support_of(
    source: Source,
    rows: Tensor,
    weights: Tensor | None,
    history: History,
    named: Named | None,
    use: Use | None = None,
) -> tuple[Support, Use | None]:
    """What is learned from at the present version, classes in sorted order, and whether that is names as well.

    Args:
        source: What learns.
        rows: [m, ...] every example of every version.
        weights: [m] of them.
        history: Which of them are of which class.
        named: Names of classes; None: the source reads none.
        use: What was decided of them; None: it is now.
    """
    members = history.members()
    # In the order of classes, then of rows: the same examples are the same support, whatever was done in between.
    index = torch.tensor([row for places in members.values() for row in places], dtype=torch.long)
    counts = torch.tensor([len(places) for places in members.values()], dtype=torch.long)
    y = torch.arange(len(counts)).repeat_interleave(counts)
    given = Support(floats(rows[index]), y, weight=None if weights is None else weights[index])
    tuning = source.tuning if source.tuning is not None and bool(source.tuning.kept(given.x).any()) else None
    if named is None or source.names is None:
        _check_taught(members)
    else:
        if use is None and tuning is not None and all(members.values()):
            use = tuning.use  # what the encoder was trained on would not tell any more
        given, use = class_names.joined(source.names if use is None else use, given, list(members), named)
    return given if tuning is None else tuning.marked(given), use


def _check_taught(members: Mapping[Label, Sequence[int]]) -> None:
    bare = next((label for label, places in members.items() if not places), None)
    if bare is not None:
        raise InputError(f"class {bare!r} has no examples, and names are not learned from here: give one")


def check_ways(source: Source, shape: tuple[int, ...], ways: int) -> None:
    """Refuse more classes than a network with a fixed number of outputs can tell apart, with an `InputError`."""
    most = capacity(source.learner, source.params, shape)
    if most is not None and most < ways:
        raise InputError(
            f"{type(source.learner).__name__} was meta-trained to tell {most} classes apart, and these are {ways}: "
            f"train it with ways={ways}, or take a learner for any number of classes, such as protonet or fine_tune"
        )
