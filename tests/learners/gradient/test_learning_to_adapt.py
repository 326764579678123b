from dataclasses import replace
from typing import Any

import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.objectives import mean, regression
from innerloop.core.scores import MeanSquaredError
from innerloop.core.types import Batch, Episode
from innerloop.engine import TrainConfig, meta_gradient, meta_train
from innerloop.engine.step import validation_scores
from innerloop.learners.gradient.learning_to_adapt import LearningToAdapt
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from innerloop.tasks import MassSpringDamper
from tests.compared import distance
from tests.conformance import Conformance, TransductiveConformance
from tests.problems import NeedlesInNoise, classifier


class TestLearningToAdapt(TransductiveConformance):
    learner = LearningToAdapt(model=Module(classifier), inner_lr=0.3, inner_steps=2)


class TestLearningToAdaptFirstOrder(Conformance):
    learner = LearningToAdapt(model=Module(classifier), inner_lr=0.3, inner_steps=2, first_order=True)


def centred(outputs, window):
    """Needs no labels: the outputs of a window ought to be 0 on average."""
    count = torch.ones(len(outputs)) if window.mask is None else window.mask
    count = count.to(outputs.dtype)
    return ((outputs[:, 0] * count).sum() / count.sum().clamp_min(1)).square()


def test_one_window_at_a_time_it_is_maml():
    episodes = NeedlesInNoise().episodes(0, 3)
    maml = MAML(model=Module(classifier), inner_lr=0.3, inner_steps=2)
    params = {k: v.double() for k, v in maml.init(0).items()}
    expected, _ = meta_gradient(maml, params, episodes, "loop")
    found, _ = meta_gradient(TestLearningToAdapt.learner, params, episodes, "loop")
    assert distance(found, expected) < 1e-12


def test_following_a_stream_is_adapting_afresh_to_every_window():
    """An independent slow loop; rows from the present on change nothing."""
    learner = LearningToAdapt(model=MLP(inputs=3, hidden=(5,), outputs=2), inner_lr=0.1, objective=regression)
    stream, params = MassSpringDamper().stream(0, 30, period=10), learner.init(0)
    x: Any = stream.x
    found = learner.follow(params, stream, 4)
    for t in (1, 3, 17, 29):
        recent = slice(max(t - 4, 0), t)
        adapted = learner.adapt(params, Batch(x[recent], stream.y[recent]))
        assert torch.allclose(found[t], learner.predict(params, adapted, x[t : t + 1])[0], atol=1e-6), t
    assert torch.allclose(found[0], learner.predict(params, params, x[:1])[0], atol=1e-6)
    later = stream._replace(y=torch.where(torch.arange(30)[:, None] < 20, stream.y, 9.0))
    assert torch.allclose(learner.follow(params, later, 4)[:21], found[:21], atol=1e-6)
    with pytest.raises(InputError, match="at least 1 row"):
        learner.follow(params, stream, 0)


class Shifted:
    """`y = x - shift`, where every task has its shift, which the mean of x in the support gives away."""

    def episodes(self, first: int, count: int) -> Episode:
        return tree.stack([self._episode(i) for i in range(first, first + count)])

    def describe(self) -> dict[str, object]:
        return {"kind": "shifted", "score": "mse"}

    def _episode(self, index: int) -> Episode:
        generator = torch.Generator().manual_seed(index)
        shift, y = 3 * torch.rand((), generator=generator) - 1.5, torch.randn(40, 1, generator=generator) * 0.5
        x = y + shift
        # A window without labels: NaN would show at once if one were read.
        support = Batch(x[:20], torch.full((20, 1), torch.nan))
        return Episode(support, Batch(x[20:], y[20:]))


def test_it_learns_to_adapt_without_labels():
    learner = LearningToAdapt(
        model=MLP(hidden=(30, 30), activation="tanh"),
        inner_lr=0.2,
        inner_steps=3,
        inner_loss=centred,
        objective=regression,
    )
    config = TrainConfig(steps=600, meta_batch_size=10, meta_lr=5e-3, plan="replay", schedule="cosine")
    unseen = Shifted().episodes(10**6, 100)
    found = {}
    for steps in (0, 3):
        trained = replace(learner, inner_steps=steps)
        found[steps] = validation_scores(
            trained, meta_train(trained, Shifted(), config), unseen, MeanSquaredError()
        ).mean()
    assert found[3] < 0.7 * found[0]


def test_the_self_supervised_loss_heeds_the_mask():
    x, mask = torch.randn(5, 1), torch.tensor([True, True, True, False, False])
    window = Batch(x, torch.zeros(5, 1), mask)
    assert torch.allclose(centred(x, window), mean(x[:, 0], mask).square())
