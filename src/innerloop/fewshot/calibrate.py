"""What a task's own examples say about it: some are held out, the rest is learned from, and those are asked.

Examples of known classes come from leaving examples out, those of no class from the bank of `foreign`, where it has
some for the encoder, or from leaving whole classes out.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.plain import plain
from innerloop.core.threads import spread
from innerloop.core.types import Params
from innerloop.evaluate.calibration import (
    Calibration,
    check_target,
    expected_calibration_error,
    fit_temperature,
    rejection,
)
from innerloop.evaluate.rejection import check_coverage, check_enough, settled
from innerloop.fewshot.history import Label
from innerloop.fewshot.support import Support

NONE = "none of these"
"""What is answered where no class is near enough."""
OWN, WITH_FOREIGN = "held-out support", "held-out support and foreign rows"
"""What a calibration was measured on."""
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


class Fold(NamedTuple):
    """Examples that were held out together."""

    places: Tensor  # [m] of the examples
    adapted: Any  # what was learned from all others
    logits: Tensor  # [m, ways] float64, what it says of them


class Foreign(NamedTuple):
    """Foreign examples as a task scores them."""

    scores: Tensor  # [m] float64, of those that the scoring has not seen
    own: Tensor  # [n] float64, what is added to the largest logit of each of the task's examples, not seeing it
    classes: bool  # whether classes that are left out are asked as well, since these alone say too little


class Wanted(NamedTuple):
    """What somebody asks of "none of these": one of the two, or neither."""

    strangers: float | None = None
    """Share of examples of no class that may be taken for one."""
    coverage: float | None = None
    """Share of examples of the classes that are to be answered."""

    def __str__(self) -> str:
        asked = zip(("strangers", "coverage"), self, strict=True)
        return ", ".join(f"{name} {share:g}" for name, share in asked if share is not None)


NOTHING = Wanted()
"""Every example is of one of the classes."""


def checked_wanted(wanted: Wanted | float | None, classes: Sequence[Label]) -> Wanted:
    """What is asked of "none of these", as plain numbers.

    Raises:
        InputError: It is no share, both shares at once, or a class is called as the answer is.
    """
    asked = wanted if isinstance(wanted, Wanted) else Wanted(strangers=wanted)
    strangers, coverage = (plain(share) for share in asked)  # they are kept as JSON, which knows no NumPy
    if strangers is None and coverage is None:
        return NOTHING
    if strangers is not None and coverage is not None:
        raise InputError(
            f"one threshold cannot hold both a coverage of {coverage!r} and {strangers!r} of strangers: ask for one"
        )
    if strangers is not None:
        check_target(strangers)
    if coverage is not None:
        check_coverage(coverage)
    # Otherwise nobody could tell the class from the refusal.
    if NONE in classes:
        raise InputError(f"'{NONE}' is the answer that a threshold gives: call that class otherwise")
    return Wanted(strangers, coverage)


@torch.no_grad()
def calibrate(
    learner: Learner,
    params: Params,
    given: Support,
    wanted: Wanted,
    prior: Calibration | None,
    foreign: Foreign | None = None,
    before: Tensor | None = None,
) -> Calibration:
    """The temperature, and if asked for the threshold of "none of these".

    Args:
        learner: The algorithm.
        params: Its meta-parameters.
        given: All examples of the task.
        wanted: What the threshold is to hold.
        prior: Measured on meta-validation tasks; its temperature is taken, and its threshold where these examples are
            too few.
        foreign: Foreign examples; None: there are none for this encoder, so classes are left out.
        before: [m] scores of examples that were held out before, when an encoder was tuned to them; None: there are
            none.

    Raises:
        InputError: Neither the examples nor the prior can say when to reject.
    """
    ways, places = int(given.y.max()) + 1, folds(given.y, kept=given.kept)
    several, asked = bool(places), wanted != NOTHING
    # The prior gives its temperature alone: its threshold was measured on tasks of other classes.
    calibration = (
        Calibration()
        if prior is None
        else replace(
            prior, threshold=None, target=None, coverage=None, auroc=None, false_accepts=None, ways=None, tasks=None
        )
    )
    classes = ways > 2 and several
    if asked and foreign is None and not classes and (before is None or wanted.coverage is None):
        return _from_prior(prior, wanted, ways, several)
    if wanted.coverage is not None:
        count = sum(map(len, places)) + (0 if before is None else len(before))
        check_enough(count, wanted.coverage, f'"none of these" at a coverage of {wanted.coverage:g}')
    if (not asked and prior is not None) or not (several or asked):
        return calibration  # a prior is of hundreds of tasks: a handful of examples left out knows less
    inside = None
    if several:
        inside, labels = examples_left_out(learner, params, given, ways)
        if prior is None:
            temperature = fit_temperature(inside, labels)
            best = torch.softmax(inside / temperature, 1).max(1)
            ece = expected_calibration_error(best.values, best.indices == labels)
            calibration = Calibration(temperature=temperature, ece=ece, source=OWN)
        inside = inside.amax(1)
    if not asked:
        return calibration
    classes_apart = classes and (foreign is None or foreign.classes)
    left_out = _classes_left_out(learner, params, given, ways) if classes_apart else []
    # No further points: those of the prior were measured on other classes.
    calibration = replace(calibration, source=OWN, points=())
    if foreign is not None and inside is not None:
        inside = inside + foreign.own[torch.cat(places)]
    if before is not None:
        inside = before if inside is None else torch.cat([inside, before])
    if foreign is not None:
        calibration = replace(calibration, source=WITH_FOREIGN)
        return settled(inside, foreign.scores, left_out, calibration, *wanted)
    assert inside is not None
    if wanted.strangers is None:
        return settled(inside, None, left_out, calibration, *wanted)
    return rejection(inside, left_out, wanted.strangers, calibration, few=True)


def _from_prior(prior: Calibration | None, wanted: Wanted, ways: int, several: bool) -> Calibration:
    if prior is None or not prior.points:
        lacks = [] if ways > 2 else [f"3 classes (these are {ways})"]
        lacks += [] if several else ["2 examples of a class (these are single ones)"]
        raise InputError(
            f"when to answer 'none of these' ({wanted}) cannot be said: that takes at least {' and '.join(lacks)}, "
            "or a run with a calibration.json, or a frozen encoder that comes with foreign rows. Give more examples, "
            "or leave it out"
        )
    if wanted.coverage is not None:
        return prior.covering(wanted.coverage)
    assert wanted.strangers is not None
    return prior.at(wanted.strangers)


def folds(y: Tensor, enough: int | None = None, kept: Tensor | None = None, most: int = _FOLDS) -> list[Tensor]:
    """Places of examples that are held out together; single examples of a class never are.

    Args:
        y: [n] classes.
        enough: No further fold is held out once there are so many; None: each that can be spared is, once.
        kept: [n] bool, rows that always stay; None: none.
        most: How many folds at most.
    """
    spared = can_be_spared(y, kept)
    counts = y[spared].bincount(minlength=int(y.max()) + 1)
    # By place in its class, so that each fold takes from every class alike.
    place = torch.zeros_like(y)  # of each example in its class
    for label in range(len(counts)):
        place[spared & (y == label)] = torch.arange(int(counts[label]))
    count = min(most, int(counts.max()))
    outs: list[Tensor] = []
    for i in range(count):
        if enough is None or not outs or sum(map(len, outs)) < enough:
            outs.append((spared & (place % count == i)).nonzero()[:, 0])
    return [out for out in outs if len(out)]


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
    learner: Learner, params: Params, given: Support, ways: int, enough: int | None = None
) -> tuple[Tensor, Tensor]:
    """Logits of examples that were not learned from, and their classes; single examples of a class always are.

    Args:
        learner: The algorithm.
        params: Its meta-parameters.
        given: All examples of the task; each is asked about once, whatever it weighs.
        ways: Number of classes.
        enough: No further fold is held out once there are so many; None: each that can be spared is, once.
    """
    parts = held_out(learner, params, given, ways, enough)
    return torch.cat([part.logits for part in parts]), torch.cat([given.y[part.places] for part in parts])


def held_out(learner: Learner, params: Params, given: Support, ways: int, enough: int | None = None) -> list[Fold]:
    """What was learned without each fold, and what it says of the fold; arguments as of `examples_left_out`."""

    def left_out(out: Tensor) -> Fold:
        rest = torch.ones(len(given.y), dtype=torch.bool)
        rest[out] = False
        adapted = learner.adapt(params, given.only(rest).batch(ways))
        return Fold(out, adapted, logits(learner, params, adapted, given.x[out], ways))

    return spread(left_out, folds(given.y, enough, given.kept))


def _classes_left_out(learner: Learner, params: Params, given: Support, ways: int) -> list[Tensor]:
    """Largest logits of examples whose class was not learned, by class."""
    folds, y = min(_CLASS_FOLDS, ways), given.y

    def left_out(i: int) -> list[Tensor]:
        # Several classes at once where there are many: learning is paid for ten times at most.
        out = y % folds == i
        # Learners count classes from 0, without gaps.
        left, renumbered = torch.unique(y[~out], return_inverse=True)
        adapted = learner.adapt(params, given.only(~out)._replace(y=renumbered).batch(len(left)))
        asked = out if given.kept is None else out & ~given.kept
        best = logits(learner, params, adapted, given.x[asked], len(left)).amax(1)
        # A class is the unit of the interval: its examples are alike.
        return [best[y[asked] == label] for label in y[asked].unique()]

    return list(itertools.chain(*spread(left_out, range(folds))))
