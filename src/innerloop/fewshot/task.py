"""A task that was taught: what learned, from which examples, and what is said of others.

It is never changed, only replaced, so that threads see one state or the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from innerloop.core.aligned import aligned, packed
from innerloop.core.errors import InputError
from innerloop.core.texts import FILES
from innerloop.core.threads import on_one_core, spread
from innerloop.evaluate import acquisition
from innerloop.evaluate.calibration import Calibration
from innerloop.fewshot import budget as budgets
from innerloop.fewshot import calibrate, class_names, foreign, heads
from innerloop.fewshot.calibrate import NOTHING, Fold, Wanted, checked_wanted
from innerloop.fewshot.class_names import Named, Use
from innerloop.fewshot.drift import Drift
from innerloop.fewshot.heads import Choice
from innerloop.fewshot.history import History, Label
from innerloop.fewshot.labels import as_array, same_kind
from innerloop.fewshot.learned import calibrated, check_ways, support_of
from innerloop.fewshot.mapped import map_of
from innerloop.fewshot.rows import floats
from innerloop.fewshot.sources import Source
from innerloop.fewshot.support import Support, in_order, weighed_together

_ROOM = 2.0**-12
"""Share of the largest logit that counts as near, at least. Rounding, which differs between one row and many, mostly
moves logits by less than a thirtieth of it."""
_ENCODED = 256
"""Rows that go through a learner's encoder at once."""
_SAFETY, _ASKED = 16, 8
"""Where it moves them more, near is so many times what it does to so many of the task's own examples."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A learner that has seen its examples."""

    source: Source
    """What was taught, with the shape of its rows."""
    adapted: Any
    classes: list[Label]
    """In sorted order."""
    rows: Tensor
    """[m, ...] uint8 or float32, every example of every version."""
    weights: Tensor | None
    """[m] float32, how many rows each of them is learned from as; None: 1."""
    history: History
    calibration: Calibration
    wanted: Wanted = NOTHING
    """What was asked of "none of these"."""
    choice: Choice | None = None
    """Its head, where the source takes one; also in `source.learner`."""
    named: Named | None = None
    """Names of its classes, of every version, where the source reads them."""
    use: Use | None = None
    """Whether it learned from them."""
    gate: Tensor | None = None
    """[d + 1] what is added to the largest logit where it is compared with the threshold; None: nothing."""
    drift: Drift = field(default_factory=Drift)
    """Whether it still answers what it was taught, as far as it was told."""
    budget: int | None = None
    """How many examples of each class stay; None: all of them."""

    @cached_property
    def labels(self) -> np.ndarray:
        """[classes] as an array."""
        return as_array(self.classes)

    @property
    def reject(self) -> float | None:
        """The share of strangers that was asked for, or that passes at the coverage which was; None: all pass."""
        return self.calibration.target if self.wanted.coverage is not None else self.wanted.strangers

    @property
    def columns(self) -> np.ndarray:
        """[features] names of the columns, of a task that was taught a table that has them."""
        if self.source.columns is None:
            raise AttributeError("feature_names_in_ is there after fit on a table whose columns have names")
        return np.asarray(self.source.columns, dtype=object)

    def show(self) -> dict[str, Any]:
        """What it is and knows, in plain JSON: source, classes, calibration and versions."""
        entries = zip(self.history.versions, self.history.each(), strict=True)
        return {
            "version": self.history.present.version,
            "examples": {str(label): count for label, count in self.history.examples().items()},
            "reject": self.wanted.strangers,
            "coverage": self.wanted.coverage,
            "calibration": self.calibration.to_json(),
            "source": self.source.name,
            "learner": type(self.source.learner).__name__,
            "head": None if self.choice is None else self.choice.to_json() | {"reason": self.choice.reason},
            "names": None if self.use is None else self.use.to_json() | {"reason": self.use.reason},
            "tuning": None if self.source.tuning is None else self.source.tuning.told(),
            "kind": self.source.kind,
            "drift": self.drift.told(),
            "budget": budgets.told(self.budget, self.history.examples()),
            "versions": [
                {"version": v.version, "time": v.time, "action": v.action}
                | {"examples": {str(label): len(rows) for label, rows in members.items()}}
                for v, members in entries
            ],
        }

    @torch.no_grad()
    def logits(self, rows: Tensor) -> Tensor:
        """[n, classes] float64 for [n, ...] rows, uint8 or float32; of pictures one by one, see `one_by_one`."""
        source, ways = self.source, len(self.classes)

        def some(rows: Tensor) -> Tensor:
            return calibrate.logits(source.learner, source.params, self.adapted, floats(aligned(rows)), ways)

        if not self.one_by_one or len(rows) < 2:
            return some(rows)
        return torch.cat(spread(some, rows.split(1)))

    def features(self, rows: Tensor) -> Tensor:
        """[n, d] float32 of [n, ...] rows, where classes are told apart: the learner's encoder, or as they are."""
        learner = self.source.learner
        with torch.no_grad():
            parts = [acquisition.features(learner, self.adapted, floats(aligned(r))) for r in rows.split(_ENCODED)]
        return torch.cat(parts)

    @cached_property
    def taught(self) -> tuple[list[int], Tensor]:
        """Places of the rows of the present version, and [n, d] features of them; none for names alone."""
        places = [row for rows in self.history.members().values() for row in rows]
        return places, self.features(self.rows[torch.tensor(places, dtype=torch.long)])

    @cached_property
    def support(self) -> Support:
        """What it learned from at the present version, classes in sorted order."""
        return support_of(self.source, self.rows, self.weights, self.history, self.named, self.use)[0]

    @property
    def spared(self) -> int:
        """How many of its examples can be held out."""
        return int(calibrate.can_be_spared(self.support.y, self.support.kept).sum())

    @cached_property
    def held_out(self) -> list[Fold]:
        """What is learned without each fold of its examples."""
        learner, params = heads.quick(self.source.learner), self.source.params
        with torch.no_grad():
            return on_one_core(lambda: calibrate.held_out(learner, params, self.support, len(self.classes)))

    @property
    def known(self) -> Tensor:
        """[n, ...] some rows that it learned from: examples of every version, or where there is none, names."""
        if len(self.rows) or self.named is None:
            return self.rows
        return self.named.rows.reshape(-1, *self.rows.shape[1:])

    @property
    def one_by_one(self) -> bool:
        """Whether each row is answered by itself, because torch rounds convolutions by how many there are."""
        return self.source.kind in FILES

    @cached_property
    def room(self) -> float:
        """Share of the largest logit that rounding may move one by; large where inputs lie far from 0."""
        # Spread over the table, in which neighbours are of one class.
        some = self.known[:: -(-len(self.known) // _ASKED)]
        together, apart = self.logits(some), torch.cat([self.logits(aligned(row)) for row in some.split(1)])
        moved = (together - apart).abs().max() / together.abs().max().clamp_min(torch.finfo(together.dtype).tiny)
        return max(_ROOM, _SAFETY * moved.item())

    def scores(self, rows: Tensor, z: Tensor) -> Tensor:
        """[n] float64, what is compared with the threshold, of [n, ...] rows and their [n, classes] logits."""
        best = z.amax(-1)
        return best if self.gate is None else best + foreign.added(self.gate, floats(aligned(rows)).double())

    def undecided(self, z: Tensor, scores: Tensor) -> list[int]:
        """Which of [n, classes] logits rounding might move to another class, or their scores across the threshold."""
        room = self.room * z.abs().amax(-1)
        best, second = z.topk(2).values.unbind(-1)
        near = best - second <= room
        if self.calibration.threshold is not None:
            near |= (scores - self.calibration.threshold).abs() <= room
        return near.nonzero().flatten().tolist()

    def more(
        self, rows: Tensor, labels: Sequence[Label], source: Source | None = None, weights: Tensor | None = None
    ) -> "Task":
        """The task with further examples.

        Args:
            rows: [n, ...] of them.
            labels: [n] their classes.
            source: With what they decided about how examples are read; None: nothing.
            weights: [n] how many rows each is learned from as; None: 1.

        Raises:
            InputError: There is none, their labels are of another type, or as of `teach`.
        """
        if not len(rows):
            raise InputError("X has 0 sample(s) while a minimum of 1 is required: give examples to learn from")
        same_kind(self.classes, labels)
        # Rows are only ever appended, since every version names them by their place.
        rows, weights, added = in_order(rows, weights, labels, len(self.rows))
        weights = weighed_together(self.rows, self.weights, rows, weights)
        # Bytes stay bytes as long as all are: a quarter of the memory and of the file.
        alike = self.rows.dtype == rows.dtype
        joined = torch.cat([self.rows, rows] if alike else [floats(self.rows), floats(rows)])
        if self.budget is None:
            return self._then(source or self.source, joined, self.history.add(added), weights)
        history = budgets.added(self.history, added, self.budget)
        joined, weights, history = budgets.bounded(joined, weights, history)
        return self._then(source or self.source, joined, history, weights)

    def naming(self, classes: Sequence[Label]) -> "Task":
        """The task with further classes, of which it knows the names alone.

        Raises:
            InputError: The source reads no names, there is such a class, or as of `teach`.
        """
        same_kind(self.classes, classes)
        known = next((label for label in classes if label in self.classes), None)
        if known is not None:
            raise InputError(f"there is a class {known!r} already: give examples of it, or other names")
        return self.at(self.history.declare(classes))

    def at(self, history: History) -> "Task":
        """The task as another history of the same examples has it.

        Raises:
            InputError: As of `teach`.
        """
        return self._then(self.source, self.rows, history, self.weights)

    def rejecting(self, wanted: Wanted | float | None) -> "Task":
        """The same knowledge with another threshold; a number is a share of strangers.

        Raises:
            InputError: The examples are too few to say when to reject.
        """
        wanted = checked_wanted(wanted, self.classes)
        # Nothing is learned again: a threshold changes what is said, not what is known.
        calibration, gate = calibrated(self.source, self.choice, self.adapted, self.support, wanted)
        return replace(self, wanted=wanted, calibration=calibration, gate=gate)

    def _then(self, source: Source, rows: Tensor, history: History, weights: Tensor | None) -> "Task":
        """What it becomes; what was noted of its answers stays, whatever it learned since."""
        task = adapted(source, rows, history, self.wanted, self.named, weights)
        return replace(task, drift=self.drift, budget=self.budget)


def teach(
    source: Source,
    rows: Tensor,
    labels: Sequence[Label],
    wanted: Wanted | float | None,
    weights: Tensor | None = None,
    budget: int | None = None,
) -> Task:
    """A task from its first examples.

    Args:
        source: What learns, with the shape of the rows.
        rows: [n, ...] uint8 or float32.
        labels: [n] their classes.
        wanted: Of "none of these"; a number is the share of examples of no class that may be taken for one of them;
            None: no example is refused.
        weights: [n] how many rows each is learned from as; None: 1.
        budget: How many examples of each class stay; None: all of them.

    Raises:
        InputError: Fewer than two classes, more than the learner's network has outputs, or `wanted` without the
            examples that it takes.
    """
    if not len(rows):
        raise InputError("X has 0 sample(s) while a minimum of 1 is required: give examples to learn from")
    rows, weights, added = in_order(rows, weights, labels, 0)
    if budget is None:
        return adapted(source, rows, History.begin(added), wanted, weights=weights)
    rows, weights, history = budgets.bounded(rows, weights, budgets.added(None, added, budget))
    return replace(adapted(source, rows, history, wanted, weights=weights), budget=budget)


def name_classes(source: Source, classes: Sequence[Label], wanted: Wanted | float | None) -> Task:
    """A task from the names of its classes alone; examples may follow.

    Args:
        source: What learns, an encoder of texts.
        classes: Their names.
        wanted: As of `teach`; a coverage takes examples.

    Raises:
        InputError: The source reads no names, or there are fewer than two.
    """
    if source.names in (None, "off") or source.shape is None:
        why = "its names are off" if source.names == "off" else "it has no encoder of texts"
        raise InputError(f"'{source.name}' cannot learn classes from their names, since {why}: give examples of each")
    return adapted(source, torch.zeros(0, *source.shape), History.begin((), classes), wanted)


def adapted(
    source: Source,
    rows: Tensor,
    history: History,
    wanted: Wanted | float | None,
    named: Named | None = None,
    weights: Tensor | None = None,
) -> Task:
    """A task as its history has it.

    Args:
        source: What learns, with the shape of the rows.
        rows: [m, ...] uint8 or float32, every example of every version.
        history: Which of them are of which class.
        wanted: As of `teach`.
        named: Names whose rows there are; those that lack are encoded.
        weights: [m] how many rows each is learned from as; None: 1.

    Raises:
        InputError: As of `teach`.
    """
    classes = list(history.examples())
    wanted = checked_wanted(wanted, classes)
    if len(classes) < 2:
        there = f"1 class, '{classes[0]}': give examples of another one, too" if classes else "none"
        raise InputError(f"telling classes apart needs at least 2, and this would be {there}")
    # Before anything is learned, which may take minutes for a learner with inner steps.
    check_ways(source, tuple(rows.shape[1:]), len(classes))
    named = class_names.completed(named, source, classes)
    given, use = support_of(source, rows, weights, history, named)
    choice = None
    if source.head is not None:
        of_run = map_of(source.learner, source.params)
        learner, choice = heads.choose(source.head, given, len(classes), of_run)
        source = replace(source, learner=learner)
    with torch.no_grad():
        # Sums of several cores round in another order: two workers would keep tasks that differ.
        result = on_one_core(lambda: source.learner.adapt(source.params, given.batch(len(classes))))
    calibration, gate = calibrated(source, choice, result, given, wanted)
    return Task(
        source=source,
        adapted=packed(result),
        classes=classes,
        rows=rows,
        weights=weights,
        history=history,
        calibration=calibration,
        wanted=wanted,
        choice=choice,
        named=named,
        use=use,
        gate=gate,
    )
