from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.semi_supervised import SelfTrainingClassifier

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.types import Batch, Episode
from innerloop.engine import meta_gradient
from innerloop.learners.baselines.self_training import SelfTraining
from innerloop.learners.metric.protonet import ProtoNet
from tests.compared import close, distance
from tests.conformance import TransductiveConformance
from tests.problems import HalfLabelled, NeedlesInNoise, encoder


class TestSelfTraining(TransductiveConformance):
    learner = SelfTraining(encoder=Module(encoder), threshold=0.4)

    @pytest.fixture
    def episodes(self) -> Episode:
        return HalfLabelled(NeedlesInNoise()).episodes(0, 5)


RAW = SelfTraining(encoder=Module(torch.nn.Flatten))
TWO = torch.ones(2, dtype=torch.bool)


class NearestMean(ClassifierMixin, BaseEstimator):
    """With the softmax over negative squared distances as probabilities."""

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        self.means_ = np.stack([x[y == k].mean(0) for k in self.classes_])
        return self

    def predict_proba(self, x):
        p = -((x[:, None] - self.means_) ** 2).sum(-1)
        p = np.exp(p - p.max(1, keepdims=True))
        return p / p.sum(1, keepdims=True)


@torch.no_grad()
@pytest.mark.parametrize("rounds", [0, 1, 2, 5])
@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
def test_it_is_scikit_learns_where_nothing_can_be_held_out(rounds, threshold):
    """One labelled example of each of three classes, and thirty without."""
    generator = torch.Generator().manual_seed(1)
    means = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    y = torch.arange(33) % 3
    x = means[y] + 0.7 * torch.randn(33, 2, generator=generator, dtype=torch.float64)
    given = torch.where(torch.arange(33) < 3, y, -1)
    learner = replace(RAW, inner_steps=rounds, threshold=threshold)
    found = learner.adapt({}, Batch(x, given, classes=torch.ones(3, dtype=torch.bool)))
    if rounds == 0:
        assert close(found.centroids.means, x[:3], 1e-12)
        return
    oracle = SelfTrainingClassifier(NearestMean(), threshold=threshold, max_iter=rounds).fit(x.numpy(), given.numpy())
    fitted = oracle.estimator_
    assert isinstance(fitted, NearestMean)
    assert np.allclose(found.centroids.means.numpy(), fitted.means_, atol=1e-10)
    counts = np.bincount(oracle.transduction_[oracle.transduction_ >= 0], minlength=3)
    assert (found.centroids.counts.numpy() == counts).all() and counts.sum() > 3


@torch.no_grad()
def test_a_round_that_hurts_is_undone():
    """Far examples without label would pull the mean of class 1 across its own."""
    x = torch.tensor([[0.0], [1.0], [4.0], [5.0], [40.0], [41.0]])
    y = torch.tensor([0, 0, 1, 1, -1, -1])
    before = RAW.adapt({}, Batch(x[:4], y[:4], classes=TWO))
    carry = RAW.start({}, Batch(x, y, classes=TWO))
    carry, _ = RAW.advance({}, carry, Batch(x, y, classes=TWO))
    assert not carry.going
    after = RAW.adapt({}, Batch(x, y, classes=TWO))
    assert close(after.centroids.means, before.centroids.means, 1e-6)
    one_shot = torch.tensor([0, -1, 1, -1, -1, -1])  # the same pull, and nothing to see it with
    assert RAW.adapt({}, Batch(x, one_shot, classes=TWO)).centroids.counts.tolist() == [2, 4]


@torch.no_grad()
@pytest.mark.parametrize("episode", [1, 6, 8, 9])
def test_held_out_examples_are_scored_as_by_self_training_without_them(episode):
    support = tree.slice(HalfLabelled(NeedlesInNoise()).episodes(episode, 1), 0).support
    learner = replace(RAW, threshold=0.9, inner_steps=1)
    carry, _ = learner.advance({}, learner.start({}, support), support)
    wrong = 0
    for i in (support.y >= 0).nonzero().flatten().tolist():
        rest = torch.arange(len(support.y)) != i
        adapted = learner.adapt({}, Batch(support.x[rest], support.y[rest], classes=support.classes))
        wrong += int(learner.predict({}, adapted, support.x[i : i + 1]).argmax() != support.y[i])
    assert carry.going and carry.mistakes == wrong > 0


def test_it_is_trained_as_protonet_on_the_labelled_examples():
    learner, episodes = TestSelfTraining.learner, NeedlesInNoise().episodes(0, 3)
    assert isinstance(learner, SelfTraining)
    params = {k: v.double() for k, v in learner.init(0).items()}
    gradient, metrics = meta_gradient(learner, params, episodes, "loop")
    expected, others = meta_gradient(ProtoNet(encoder=learner.encoder), params, episodes, "loop")
    assert close(metrics["loss"], others["loss"], 1e-12) and distance(gradient, expected) < 1e-12


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="threshold must be a number from 0 to 1, got 2"):
        SelfTraining(encoder=Module(encoder), threshold=2.0)
