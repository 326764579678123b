"""Degenerate tasks, met by every classifier of the catalogue as `runs.build` makes it for pictures."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.dry_run import outputs
from innerloop.core.learner import Learner
from innerloop.core.types import Batch, Episode, Params
from innerloop.engine import meta_gradient
from innerloop.learners import catalogue
from innerloop.runs import build, defaults
from tests.problems import classifiers, inputs

SHAPE, WAYS = (1, 16, 16), 5


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    file = tmp_path_factory.mktemp("data") / "noise.npz"
    x = np.random.default_rng(0).integers(0, 256, (400, 16, 16), dtype=np.uint8)
    np.savez(file, x=x, y=np.arange(400) % 25)
    return file


class Case(NamedTuple):
    """A learner, and with how many labels it is trained, if that is on plain batches of all training classes."""

    learner: Learner
    params: Params
    labels: int | None

    @property
    def any_ways(self) -> bool:
        """Not where its network has an output for each class, of whose absence it is not told."""
        return outputs(self.learner, self.params, SHAPE, 200) == 200

    @torch.no_grad()
    def answer(self, support: Batch, x: Tensor) -> Tensor:
        return self.learner.predict(self.params, self.learner.adapt(self.params, support), x)

    def check_finite(self, support: Batch, query: Batch) -> None:
        assert self.answer(support, inputs(query)).isfinite().all()
        if self.labels is not None:
            assert query.classes is not None
            ways = len(query.classes)
            query = query._replace(y=query.y % self.labels, classes=torch.arange(self.labels) < ways)
        episodes = tree.stack([Episode(support, query)])
        gradient, metrics = meta_gradient(self.learner, self.params, episodes, "loop")
        assert metrics["loss"].isfinite()
        assert not [name for name, g in gradient.items() if not g.isfinite().all()]


@pytest.fixture(scope="module", params=classifiers())
def case(request, pictures) -> Case:
    usual = defaults(request.param, str(pictures))
    run = build(replace(usual, network=replace(usual.network, width=4)))
    assert run.splits is not None
    labels = len(run.splits.train) if "episodes" not in catalogue()[request.param].trains_on else None
    learner = replace(run.learner, transductive=False)
    return Case(learner, learner.init(0), labels)


def examples(y: Tensor, ways: int, seed: int = 0, like: float = 1.0) -> Batch:
    """Pictures that share as much with the others of their class."""
    prototypes = random.uniform(random.mix(9, 9), (ways, *SHAPE))
    own = random.uniform(random.mix(seed, 1), (len(y), *SHAPE))
    x = like * prototypes[y.clamp_min(0)] + (1 - like) * own
    return Batch(x, y, classes=torch.ones(ways, dtype=torch.bool), key=random.mix(seed, 0))


@pytest.mark.parametrize("declared", [True, False])
def test_a_class_without_examples_is_never_predicted(case, declared):
    """Whether or not `classes` says that it is not there."""
    present = torch.tensor([0, 1, 3, 4])
    classes = torch.tensor([True, True, not declared, True, True])
    support = examples(present.repeat(2), WAYS, like=0.7)._replace(classes=classes)
    query = examples(present.repeat(6), WAYS, seed=1, like=0.1)._replace(classes=classes)
    case.check_finite(support, query)
    assert not case.any_ways or (case.answer(support, query.x).argmax(-1) != 2).all()


def test_one_example_in_all(case):
    support = examples(torch.tensor([3]), WAYS)
    query = examples(torch.tensor([3, 3]), WAYS, seed=1, like=0.5)
    case.check_finite(support, query)
    assert not case.any_ways or (case.answer(support, query.x).argmax(-1) == 3).all()


def test_duplicated_examples(case):
    y = torch.arange(WAYS).repeat(3)
    case.check_finite(examples(y, WAYS), examples(y, WAYS))


def test_all_examples_equal(case):
    y = torch.arange(WAYS)
    for value in (0.0, 1.0):
        same = examples(y, WAYS)._replace(x=torch.full((WAYS, *SHAPE), value))
        case.check_finite(same, same)


def test_unlabelled_examples_equal_to_labelled_ones(case):
    support = examples(torch.arange(WAYS).repeat(2), WAYS)
    support = support._replace(y=torch.where(torch.arange(2 * WAYS) < WAYS, support.y, -1))
    case.check_finite(support, examples(torch.arange(WAYS), WAYS, seed=1, like=0.5))


def test_two_hundred_ways(case):
    if not case.any_ways:
        pytest.skip("its network has an output for each class")
    y = torch.arange(200)
    support, query = examples(y, 200), examples(y[:20], 200, seed=1, like=0.9)
    case.check_finite(support, query)
    assert case.answer(support, query.x).shape == (20, 200)
