"""What a task's own examples say about it: some are held out, the rest is learned from, and those are asked.

Examples of known classes come from leaving examples out, those of no class from leaving whole classes out.
"""

import itertools
from dataclasses import replace

import torch
from torch import Tensor

from innerloop.core.dry_run import support
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.threads import spread
from innerloop.core.types import Params
from innerloop.evaluate.calibration import Calibration, expected_calibration_error, fit_temperature, rejection

NONE = "none of these"
"""What is answered where no class is near enough."""
_FOLDS = 5
_CLASS_FOLDS = 10
_BYTES = 1 << 17
"""Size of the rows that are asked at once: what a network makes of them still fits into a core's cache."""
_LEAST, _MOST = 16, 1024


def logits(learner: Learner, params: Params, adapted: object, rows: Tensor, ways: int) -> Tensor:
    """[n, ways] float64; a network with more outputs than there are classes was never told of the others."""
    each = min(max(_BYTES // max(rows[:1].nbytes, 1), _LEAST), _MOST) // _LEAST * _LEAST  # so that parts are aligned
    parts = spread(lambda part: learner.predict(params, adapted, part)[:, :ways], rows.split(each))
    return torch.cat(parts).double()


@torch.no_grad()
def calibrate(
    learner: Learner,
    params: Params,
    rows: Tensor,
    y: Tensor,
    reject: float | None,
    prior: Calibration | None,
    names: Tensor | None = None,
) -> Calibration:
    """The temperature, and if asked for the threshold of "none of these".

    Args:
        learner: The algorithm.
        params: Its meta-parameters.
        rows: [n, ...] all examples of the task.
        y: [n] their classes, 0 to ways - 1.
        reject: The false-accept rate; None: nothing is rejected.
        prior: Measured on meta-validation tasks; its temperature is taken, and its threshold where these examples are
            too few.
        names: [n] bool, which rows stand for names of classes: learned from, never asked about; None: none.

    Raises:
        InputError: Neither the examples nor the prior can say when to reject.
    """
    ways = int(y.max()) + 1
    several = bool(can_be_spared(y, names).any())
    # The prior gives its temperature alone: its threshold was measured on tasks of other classes.
    calibration = (
        Calibration()
        if prior is None
        else replace(
            prior, threshold=None, target=None, coverage=None, auroc=None, false_accepts=None, ways=None, tasks=None
        )
    )
    # It takes an example that can be spared, and two classes that are left without a third.
    if reject is not None and not (several and ways > 2):
        return _from_prior(prior, reject, ways, several)
    # A prior is of hundreds of tasks: a handful of examples left out knows less.
    if reject is None and (prior is not None or not several):
        return calibration
    inside, labels = examples_left_out(learner, params, rows, y, ways, kept=names)
    if prior is None:
        temperature = fit_temperature(inside, labels)
        best = torch.softmax(inside / temperature, 1).max(1)
        ece = expected_calibration_error(best.values, best.indices == labels)
        calibration = Calibration(temperature=temperature, ece=ece, source="held-out support")
    if reject is None:
        return calibration
    outside = _classes_left_out(learner, params, rows, y, ways, names)
    # No further points: those of the prior were measured on other classes.
    return replace(
        rejection(inside.amax(1), outside, reject, calibration, few=True), source="held-out support", points=()
    )


def _from_prior(prior: Calibration | None, reject: float, ways: int, several: bool) -> Calibration:
    if prior is None or not prior.points:
        lacks = [] if ways > 2 else [f"3 classes (these are {ways})"]
        lacks += [] if several else ["2 examples of a class (these are single ones)"]
        raise InputError(
            f"when to answer 'none of these' (reject={reject:g}) cannot be said: that takes at least "
            f"{' and '.join(lacks)}, or a run with a calibration.json. Give more examples, or leave out reject"
        )
    return prior.at(reject)


def can_be_spared(y: Tensor, kept: Tensor | None = None) -> Tensor:
    """[n] bool, which examples may be held out: without its only one a class would be gone.

    Args:
        y: [n] classes.
        kept: [n] bool, rows that always stay, such as those of names, and are no examples; None: none.
    """
    if kept is None:
        return y.bincount()[y] > 1
    return ~kept & (y[~kept].bincount(minlength=int(y.max()) + 1)[y] > 1)


def examples_left_out(
    learner: Learner,
    params: Params,
    rows: Tensor,
    y: Tensor,
    ways: int,
    enough: int | None = None,
    kept: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Logits of examples that were not learned from, and their classes; single examples of a class always are.

    Args:
        learner: The algorithm.
        params: Its meta-parameters.
        rows: [n, ...] all examples of the task.
        y: [n] their classes, 0 to ways - 1.
        ways: Number of classes.
        enough: No further fold is held out once there are so many; None: each that can be spared is, once.
        kept: [n] bool, rows that always stay; None: none.
    """
    spared = can_be_spared(y, kept)
    counts = y[spared].bincount(minlength=ways)
    # By place in its class, so that each fold takes from every class alike.
    place = torch.zeros_like(y)  # of each example in its class
    for label in range(ways):
        place[spared & (y == label)] = torch.arange(int(counts[label]))
    folds = min(_FOLDS, int(counts.max()))
    fold = torch.where(spared, place % folds, -1)  # -1 is in no fold
    outs = [fold == i for i in range(folds)]
    if enough is not None:
        before = torch.stack(outs).sum(1).cumsum(0).roll(1)
        outs = [out for i, out in enumerate(outs) if i == 0 or int(before[i]) < enough]

    def left_out(out: Tensor) -> Tensor:
        adapted = learner.adapt(params, support(rows[~out], y[~out], ways))
        return logits(learner, params, adapted, rows[out], ways)

    return torch.cat(spread(left_out, outs)), torch.cat([y[out] for out in outs])


def _classes_left_out(
    learner: Learner, params: Params, rows: Tensor, y: Tensor, ways: int, names: Tensor | None
) -> list[Tensor]:
    """Largest logits of examples whose class was not learned, by class."""
    folds = min(_CLASS_FOLDS, ways)

    def left_out(i: int) -> list[Tensor]:
        # Several classes at once where there are many: learning is paid for ten times at most.
        out = y % folds == i
        # Learners count classes from 0, without gaps.
        left, kept = torch.unique(y[~out], return_inverse=True)
        adapted = learner.adapt(params, support(rows[~out], kept, len(left)))
        asked = out if names is None else out & ~names
        best = logits(learner, params, adapted, rows[asked], len(left)).amax(1)
        # A class is the unit of the interval: its examples are alike.
        return [best[y[asked] == label] for label in y[asked].unique()]

    return list(itertools.chain(*spread(left_out, range(folds))))
