"""Short meta-trainings on some of the classes, to see on others whether meta-learning pays.

Budgets are in meta-steps, so that a seed gives one answer on every machine. A fifth of the classes is held out for
tests, another for validation, as `innerloop train` cuts them.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from innerloop.advice.candidates import SIDE, Candidate
from innerloop.advice.material import Material
from innerloop.core.context import Context
from innerloop.core.errors import FailedError
from innerloop.fewshot.source_names import SHIPPED
from innerloop.runs.build import build
from innerloop.runs.defaults import defaults
from innerloop.runs.run import Run
from innerloop.tasks.pool import from_rows, split_classes
from innerloop.tasks.split_sizes import default_sizes

FEWEST_CLASSES, FEWEST_EXAMPLES = 25, 6
"""Below, nothing is meta-trained: a fifth for tests would be fewer than five classes, and tasks take 3 shots and 3
queries."""
STEPS, STEPS_OF_ROWS = 200, 400
"""Meta-steps of a training on pictures, and of one on rows of an encoder, which are cheaper."""
_WAYS, SHOTS, _QUERIES = 10, 5, 5
_DRAWINGS = "kanji-protonet"
"""The shipped run that a training may begin with."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One of the trainings."""

    name: str
    learner: str
    start: str | None = None
    """A shipped run that it begins with."""


def recipes(shape: Sequence[int], drawings: bool) -> tuple[Recipe, ...]:
    """The trainings that are tried on examples of a shape, drawings or not."""
    fresh = Recipe(name="protonet, trained here", learner="protonet")
    if drawings and tuple(shape) == (1, SIDE, SIDE) and (SHIPPED / _DRAWINGS).is_dir():
        return fresh, Recipe(name=f"protonet, begun with {_DRAWINGS}", learner="protonet", start=_DRAWINGS)
    return fresh, Recipe(name="r2d2, trained here", learner="r2d2")


def budget(rows: Tensor) -> str:
    """How long a training on such rows is, in words."""
    return f"{STEPS if rows[0].ndim == 3 else STEPS_OF_ROWS} meta-steps"


def sizes(fewest: int) -> tuple[int, int]:
    """Shots and queries of tasks, where the smallest class has so many examples."""
    shots = max(1, min(SHOTS, fewest // 2))
    return shots, max(1, min(_QUERIES, fewest - shots))


def refusal(material: Material) -> str | None:
    """Why nothing is meta-trained on these; None: it is."""
    if material.published and material.kind == "texts":
        return "the texts of its meta-training classes would be encoded first, which takes longer than advice may"
    if material.published:
        return None
    classes, fewest = len(material.names), int(material.counts.min())
    if classes < FEWEST_CLASSES:
        return (
            f"meta-training takes {FEWEST_CLASSES} classes or more, a fifth of them to be tested on, and there are "
            f"{classes}"
        )
    if fewest < FEWEST_EXAMPLES:
        return f"meta-training takes {FEWEST_EXAMPLES} examples of every class or more, and the smallest has {fewest}"
    return None


def held_out(material: Material) -> list[int]:
    """Classes that nothing is meta-trained on: the meta-test split that `innerloop train` makes of such data."""
    if material.published:
        return list(range(len(material.names)))
    marks = from_rows(torch.zeros(len(material), 1), material.labels.tolist(), material.names)
    test = split_classes(marks, default_sizes(len(material.names))).test.names
    place = {name: i for i, name in enumerate(material.names)}
    return [place[name] for name in test]


def trained(recipe: Recipe, material: Material, rows: Tensor, seed: int, context: Context) -> Candidate:
    """Meta-train on the classes that are not held out.

    Args:
        recipe: What.
        material: All examples.
        rows: [n, ...] of them, as they are trained on.
        seed: Of the training.
        context: Where data sets lie.

    Returns:
        What can be tried, with `rows`.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = _run(recipe, material, rows, seed, context, Path(folder))
        params = run.meta_train()
    return Candidate(name=recipe.name, family="meta", learner=run.learner, params=params, rows=rows)


def _run(recipe: Recipe, material: Material, rows: Tensor, seed: int, context: Context, folder: Path) -> Run:
    if material.published:
        data = material.data
    else:
        data = str(folder / "rows.npz")
        # Numbers for names, which are in the same order wherever they are sorted.
        np.savez(data, x=rows.numpy(), y=np.array([f"{label:06d}" for label in material.labels.tolist()]))
    options = defaults(recipe.learner, data)
    shots, queries = sizes(int(material.counts.min()))
    task = options.task.changed({"shots": shots, "queries": queries, "train_ways": _WAYS})
    steps = STEPS if rows[0].ndim == 3 else STEPS_OF_ROWS
    train = replace(options.train, steps=steps, seed=seed, plan="loop", unchecked=True, validate_every=0)
    network = options.network
    if recipe.start is not None:
        network = replace(network, start=recipe.start)
    run = build(replace(options, task=task, train=train, network=network), context)
    test = list(material.names) if material.published else [f"{i:06d}" for i in held_out(material)]
    if run.splits is None or set(run.splits.test.names) != set(test):
        raise FailedError(
            "the classes that were held out are not those that the training leaves out: report it, with the command"
        )
    return replace(run, notes=())
