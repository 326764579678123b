"""A trained run on pairs of unseen classes: are they the same?"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.engine import load as load_run
from innerloop.engine.checkpoint import read_config
from innerloop.evaluate.verification import Verification, check_verifier, verify
from innerloop.problems.base import Split
from innerloop.problems.classes import CUT, WITHIN
from innerloop.runs.measure import MetaTestOptions, tasks_of


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """Which pairs."""

    data: str | None = None
    """As in training; None: what the run was trained on."""
    split_scheme: Annotated[str | None, CUT] = None
    """How the classes are split, where a data set has several ways; None: as in training."""
    ways: int = 10
    """Classes of an episode, each giving a pair of one class and a pair of two."""
    same_group: Annotated[float | None, WITHIN] = None
    """Share of episodes whose classes are all from one group (alphabet), which makes pairs of two classes harder;
    None: a half where there are groups that large, else 0."""
    episodes: int = 400
    """Episodes that test pairs come from, and as many for the pairs that the threshold is chosen on."""
    seed: int = 77
    """Seed of the pairs."""


def verify_run(
    run: str | Path,
    options: VerifyOptions,
    context: Context = Context(),
) -> Verification:
    """Verify pairs of the test classes with a run; the threshold and the norms' statistics are of validation classes.

    Args:
        run: The folder.
        options: Which pairs.
        context: Where data sets lie, and what the run may name.

    Raises:
        InputError: Not a run; one whose learner has no `similarity`; classes that it was trained on, or too few.
    """
    config, (learner, params) = read_config(run), load_run(run, context.allow)
    check_verifier(learner)
    record = config.get("record") or {}
    problem = tasks_of(config, MetaTestOptions(data=options.data, split_scheme=options.split_scheme))
    problem = problem.changed({"ways": options.ways})
    # The threshold is a parameter like any other: chosen on validation, measured on test.
    splits: tuple[Split, Split] = ("validation", "test")
    validation, test = (problem.pairs(record, context, s, options.seed, options.same_group) for s in splits)
    if set(validation.pool.names) & set(test.pool.names):
        raise InputError(
            f"{test.pool.dataset} is not cut into validation and test classes, and a threshold must not be chosen on "
            "what is tested: give a data set that is, or train on this one"
        )
    problem.refuse_unfit(learner, params, record, test)
    # A pair is asked alone, so there is no query set whose statistics a norm could use.
    return verify(replace(learner, transductive=False), params, validation, test, episodes=options.episodes)


def to_json(verification: Verification) -> dict[str, Any]:
    """Plain JSON values."""
    intervals = {k: getattr(verification, k)._asdict() for k in ("accuracy", "auc", "eer")}
    return verification._asdict() | intervals
