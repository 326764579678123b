"""Samplers whose tasks change their shape from step to step: every plan trains as the loop does, estimators refuse."""

from dataclasses import dataclass

import pytest
import torch

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.core.types import Batch, Episode
from innerloop.engine import TrainConfig, meta_train
from innerloop.engine.episode_buffer import Feed
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.optimizers.l2o import L2O
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import MLP
from tests.problems import inputs

SIZE, WAYS = 2, 3


@dataclass(frozen=True)
class Growing:
    """Step s has 3, 4 or 5 examples, in turn; drawn together, as many as the first of them says."""

    shape: tuple[int, ...] = (4,)
    ways: int = WAYS

    def episodes(self, first, count):
        key, rows = random.mix(0, torch.arange(first, first + count)), 3 + first // SIZE % 3
        x, y = random.normal(key, (rows, *self.shape)), torch.arange(rows) % self.ways
        classes = torch.ones(count, self.ways if first // SIZE % 3 else WAYS, dtype=torch.bool)
        batch = Batch(x, y.expand(count, -1).contiguous().clamp_max(classes.shape[1] - 1), classes=classes, key=key)
        return Episode(batch, batch)

    def describe(self) -> dict[str, object]:
        return {"kind": "growing", "score": "accuracy"}


@dataclass(frozen=True)
class Quadratics:
    """Functions of 5 variables with 4, 5 or 6 equations, in turn; or with other variables."""

    variables: bool = False

    def episodes(self, first, count):
        key, n = random.mix(0, torch.arange(first, first + count)), 4 + first // SIZE % 3
        rows, columns = (5, n) if self.variables else (n, 5)
        constants = {
            "matrix": random.normal(random.fold(key, 1), (rows, columns)),
            "start.theta": random.normal(random.fold(key, 2), (columns,)),
        }
        batch = Batch(constants, torch.zeros(count, 1, 1), key=key)
        return Episode(batch, batch)

    def describe(self) -> dict[str, object]:
        return {"kind": "quadratics", "score": "value"}


def value(theta, constants, key):
    return (constants["matrix"] @ theta["theta"]).square().sum()


def train(learner, sampler, **fields):
    return meta_train(learner, sampler, TrainConfig(steps=4, meta_batch_size=SIZE, **fields))


def close(a, b):
    return all(torch.allclose(a[k], b[k], 1e-4, 1e-4) for k in b)


def test_each_step_gets_the_shape_that_it_has_alone():
    sampler = Growing()
    feed = Feed(sampler, SIZE, MAML(model=MLP()))
    for step in (0, 1, 2, 3, 63, 64, 5, 130):
        alone = sampler.episodes(SIZE * step, SIZE)
        for mine, own in zip(tree.flatten(feed.episodes(step, range(SIZE))), tree.flatten(alone), strict=True):
            assert mine.shape == own.shape and torch.allclose(mine.double(), own.double())


def test_tasks_that_change_with_the_step_alone_are_drawn_alone():
    class Harder(Growing):
        def episodes(self, first, count):
            episode = Growing(shape=(4,)).episodes(0, count)
            return tree.map(lambda leaf: leaf + first if leaf.is_floating_point() else leaf, episode)

    feed = Feed(Harder(), SIZE, MAML(model=MLP()))
    for step in (1, 7, 65):
        expected = inputs(Harder().episodes(SIZE * step, SIZE).query)
        assert torch.equal(inputs(feed.episodes(step, range(SIZE)).query), expected)


@pytest.mark.parametrize(
    "fields",
    [
        {"plan": "threads"},
        {"plan": "threads", "chunk": 2, "threads": 2},
        {"plan": "vmap"},
        {"plan": "replay"},
        {"plan": "replay", "chunk": 1},
        pytest.param({"plan": "compile"}, marks=pytest.mark.slow),
        {"plan": "auto"},
        {"plan": "replay", "optimizer": "sgd", "clip": 1.0},
    ],
    ids=str,
)
def test_every_plan_trains_as_the_loop_does(fields):
    learner, same = MAML(model=MLP(inputs=4, hidden=(5,), outputs=WAYS)), {"optimizer", "clip"} & set(fields)
    expected = train(learner, Growing(), **({"plan": "loop"} | {k: fields[k] for k in same}))
    assert close(train(learner, Growing(), **fields), expected)


@pytest.mark.parametrize("fields", [{"plan": "threads"}, pytest.param({"plan": "replay"}, marks=pytest.mark.slow)])
def test_mixed_layouts_do_as_well(fields):
    learner, sampler = MAML(model=Conv4(size=16, width=2, outputs=WAYS), inner_lr=0.01), Growing((1, 16, 16))
    # Not Adam: the gradient of a bias before a norm is rounding, which it turns into full steps.
    expected = train(learner, sampler, plan="loop", optimizer="sgd")
    assert close(train(learner, sampler, layout="mixed", optimizer="sgd", **fields), expected)


def test_classes_that_the_network_has_no_outputs_for_are_refused_when_they_come():
    learner = MAML(model=MLP(inputs=4, hidden=(5,), outputs=WAYS))
    with pytest.raises(InputError, match="3 outputs, and these tasks have 5 classes"):
        train(learner, Growing(ways=5), plan="loop")


@pytest.mark.parametrize("plan", ["auto", "vmap", pytest.param("replay", marks=pytest.mark.slow)])
@pytest.mark.parametrize("estimator", ["truncated", "pes"])
@pytest.mark.parametrize("variables", [False, True])
def test_estimators_refuse_tasks_of_another_shape_by_name(plan, estimator, variables):
    learner = L2O(value=value, inner_steps=2, hidden=3)
    with pytest.raises(InputError, match=r"shapes of tasks change: 'support\.x\.matrix' was \[2, .*estimator='exact'"):
        train(learner, Quadratics(variables), plan=plan, estimator=estimator, unroll_length=1)


def test_the_exact_gradient_takes_them():
    learner = L2O(value=value, inner_steps=2, hidden=3)
    expected = train(learner, Quadratics(), plan="loop", unchecked=True)
    assert close(train(learner, Quadratics(), plan="vmap", unchecked=True), expected)
