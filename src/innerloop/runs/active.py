"""A trained run on unseen tasks whose labels are bought one by one."""

from dataclasses import dataclass, replace
from pathlib import Path

from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.rules import By
from innerloop.evaluate.active import active
from innerloop.runs.measure import Kept, MetaTestOptions, prepare
from innerloop.runs.report import refresh


@dataclass(frozen=True, kw_only=True)
class ActiveOptions:
    """Labels that are bought one by one, in place of the usual test."""

    active: int | None = None
    """Buy so many labels in every task, and score the queries after each: by `suggest`'s rules and at random. None: the
    usual test, where all shots are there from the start."""
    by: tuple[By, ...] = ()
    """Rules to buy by. None given: margin and entropy, and mutual_information for a learner of several members."""
    candidates: int | None = None
    """Examples of each class whose labels can be bought, none of which is a query; None: as many as there are besides
    shots and queries, 10 at most."""
    missing: int = 0
    """So many of the classes begin without a label."""

    def check(self) -> None:
        """Refuse options of buying where no label is bought.

        Raises:
            InputError: There is one.
        """
        if self.active is None and (self.by or self.candidates is not None or self.missing):
            raise InputError("by, candidates and missing are about labels that are bought: say how many with --active")


def active_run(run: str | Path, tasks: MetaTestOptions, options: ActiveOptions, context: Context = Context()) -> Kept:
    """Measure active learning of a run folder, keep it there, and refresh its report.

    Args:
        run: The folder.
        tasks: Which unseen tasks; their shots are what they begin with. Where no number of queries is given, the
            classes' examples are shared between candidates and queries.
        options: How many labels, and how they are bought.
        context: Where data sets lie, and what the run may name.

    Raises:
        InputError: Not a run of classes; tasks that its learner cannot take; too few candidates; or a rule that it
            cannot follow.
    """
    assert options.active is not None
    if tasks.queries is None:
        tasks = replace(tasks, queries=5)  # the usual 15 of a class leave nothing to buy where there are 20 examples
    test = prepare(run, replace(tasks, baselines=False, curve=False), context)[0]
    curves = active(
        test.learner,
        test.params,
        test.sampler,
        test.protocol.episodes,
        labels=options.active,
        by=options.by,
        candidates=options.candidates,
        missing=options.missing,
        temperature=test.temperature,
    )
    curves = replace(curves, options=test.options)
    file = curves.save(run)
    page = refresh(run, sampler=test.sampler, learner=test.learner, params=test.params, context=context)
    return Kept(curves, file, page)
