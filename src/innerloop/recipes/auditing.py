"""An audit of a learner with default networks, or of a run with its own."""

from dataclasses import replace
from pathlib import Path

from innerloop.core.errors import InputError
from innerloop.engine import load as load_run
from innerloop.engine.checkpoint import read_config
from innerloop.evaluate import Audit, audit
from innerloop.learners import catalogue
from innerloop.recipes.build import build
from innerloop.recipes.defaults import defaults
from innerloop.recipes.measuring import MetaTestOptions, unseen
from innerloop.recipes.nearest import nearest
from innerloop.recipes.options import SINUSOID
from innerloop.tasks import EpisodeSampler
from innerloop.tasks.datasets import load


def audit_learner(name: str, data: str = "kanji", data_root: str | Path | None = None) -> Audit:
    """Audit a learner before any training, on the tasks that its recipe would train on.

    Args:
        name: In the catalogue.
        data: As in training.
        data_root: Where data sets lie.
    """
    usual = defaults(name, data)
    run = build(replace(usual, task=replace(usual.task, train_ways=None)), data_root)
    sampler = run.train
    if run.splits is not None:  # plain batches have no support: audit what the learner is used for
        task = usual.task
        sampler = EpisodeSampler(pool=run.splits.train, ways=task.ways, shots=task.shots, queries=task.queries)
    return audit(run.learner, None, sampler, run.splits)


def audit_run(run: str | Path, data_root: str | Path | None = None, allow: tuple[str, ...] = ()) -> Audit:
    """Audit a trained run: its learner and network as they are, its tasks, the splits of its data."""
    config = read_config(run)
    learner, params = load_run(run, allow)
    sampler = unseen(config, MetaTestOptions(), data_root)
    task = config["record"]["task"]
    splits = None if task["data"] == SINUSOID else load(task["data"], data_root, task["cut"])
    return audit(learner, params, sampler, splits)


def audit_any(
    subject: str, data: str = "kanji", data_root: str | Path | None = None, allow: tuple[str, ...] = ()
) -> Audit:
    """Audit what a person named: a run folder, or a learner.

    Raises:
        InputError: It is neither.
    """
    if Path(subject).is_dir():
        return audit_run(subject, data_root, allow)
    if subject in catalogue():
        return audit_learner(subject, data, data_root)
    raise InputError(f"there is no run folder and no learner '{subject}'{nearest(subject, catalogue())}")
