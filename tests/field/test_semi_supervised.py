"""What 5 unlabelled examples a class are worth on Omniglot, 5-way 1-shot, with and without distractors.

Differences are paired: the labelled examples and the queries of an episode are the same in all tests.
"""

from dataclasses import replace

import pytest

from innerloop.core.interval import difference
from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate import meta_test
from innerloop.learners.baselines.self_training import SelfTraining
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.learners.metric.soft_kmeans import SoftKMeans
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import MLP
from innerloop.tasks import EpisodeSampler
from tests.field.margins import holds

pytestmark = pytest.mark.slow

ENCODER = Conv4(outputs=None, width=32)
CONFIG = TrainConfig(steps=300, meta_batch_size=1, meta_lr=1e-3, plan="loop")


@pytest.fixture(scope="module")
def supervised(splits, seed):
    train = EpisodeSampler(pool=splits.train, ways=20, shots=1, queries=5, seed=seed)
    params = meta_train(ProtoNet(encoder=ENCODER), train, replace(CONFIG, seed=seed))
    return params, scores(ProtoNet(encoder=ENCODER), params, splits)


def scores(learner, params, splits, **unlabelled):
    test = EpisodeSampler(pool=splits.test, ways=5, shots=1, queries=5, seed=77, **unlabelled)
    return meta_test(learner, params, test, episodes=200, curve=False).scores[:, 0]


@pytest.mark.parametrize("learner", [SoftKMeans(encoder=ENCODER), SelfTraining(encoder=ENCODER)], ids=["soft", "self"])
def test_a_protonet_gains_by_unlabelled_examples(splits, supervised, learner):
    params, before = supervised
    gain = difference(scores(learner, params, splits, unlabelled=5), before)
    holds(f"{type(learner).__name__}, gain by unlabelled examples", gain.mean, gain.ci95, least=0.02)


def test_the_masked_variant_does_not_lose_by_distractors(splits, seed, supervised):
    learner = SoftKMeans(encoder=ENCODER, variant="masked", gate=MLP(5, (20,), 2, "tanh"))
    train = EpisodeSampler(pool=splits.train, ways=10, shots=1, queries=5, seed=seed, unlabelled=5, distractors=5)
    params = meta_train(learner, train, replace(CONFIG, seed=seed))
    gain = difference(scores(learner, params, splits, unlabelled=5, distractors=5), supervised[1])
    holds("masked soft k-means, gain beside distractors", gain.mean, gain.ci95, least=-0.03)
