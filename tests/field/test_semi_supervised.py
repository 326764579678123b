"""What 5 unlabelled examples a class are worth on Omniglot, 5-way 1-shot, with and without distractors.

Differences are paired: the labelled examples and the queries of an episode are the same in all tests.
"""

import pytest

from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate import meta_test
from innerloop.evaluate.interval import difference
from innerloop.learners.baselines.self_training import SelfTraining
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.learners.metric.soft_kmeans import SoftKMeans
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import MLP
from innerloop.tasks import EpisodeSampler
from innerloop.tasks.datasets.omniglot import omniglot

pytestmark = pytest.mark.slow

ENCODER = Conv4(outputs=None, width=32)
CONFIG = TrainConfig(steps=300, meta_batch_size=1, meta_lr=1e-3, plan="loop")


@pytest.fixture(scope="module")
def splits(data_root):
    return omniglot(data_root, split="vinyals")


@pytest.fixture(scope="module")
def supervised(splits):
    train = EpisodeSampler(pool=splits.train, ways=20, shots=1, queries=5, seed=0)
    params = meta_train(ProtoNet(encoder=ENCODER), train, CONFIG)
    return params, scores(ProtoNet(encoder=ENCODER), params, splits)


def scores(learner, params, splits, **unlabelled):
    test = EpisodeSampler(pool=splits.test, ways=5, shots=1, queries=5, seed=77, **unlabelled)
    return meta_test(learner, params, test, episodes=200, curve=False).scores


@pytest.mark.parametrize("learner", [SoftKMeans(encoder=ENCODER), SelfTraining(encoder=ENCODER)], ids=["soft", "self"])
def test_a_protonet_gains_by_unlabelled_examples(splits, supervised, learner):
    params, before = supervised
    assert difference(scores(learner, params, splits, unlabelled=5), before).mean >= 0.02


def test_the_masked_variant_does_not_lose_by_distractors(splits, supervised):
    learner = SoftKMeans(encoder=ENCODER, variant="masked", gate=MLP(5, (20,), 2, "tanh"))
    train = EpisodeSampler(pool=splits.train, ways=10, shots=1, queries=5, seed=0, unlabelled=5, distractors=5)
    params = meta_train(learner, train, CONFIG)
    gain = difference(scores(learner, params, splits, unlabelled=5, distractors=5), supervised[1])
    assert gain.mean + gain.ci95 >= 0
