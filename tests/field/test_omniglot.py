"""Short trainings on Omniglot (Vinyals split, rotations as classes) against thresholds measured on two cores.

The thresholds catch regressions; one untuned learning rate serves all, so they do not rank methods.
"""

from dataclasses import replace

import pytest

from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate import meta_test
from innerloop.learners.gradient.anil import ANIL
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.gradient.meta_sgd import MetaSGD
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import Linear
from innerloop.tasks import EpisodeSampler
from innerloop.tasks.datasets.omniglot import omniglot

pytestmark = pytest.mark.slow

STRIDE = Conv4(width=32, pool="stride")
GRADIENT = TrainConfig(steps=200, meta_batch_size=8, meta_lr=5e-3, plan="loop")


@pytest.fixture(scope="module")
def splits(data_root):
    return omniglot(data_root, split="vinyals")


def accuracy(learner, params, splits, ways=5, queries=15):
    sampler = EpisodeSampler(pool=splits.test, ways=ways, shots=1, queries=queries, seed=77)
    return meta_test(learner, params, sampler, episodes=200)


def train(learner, splits, config=GRADIENT):
    return meta_train(learner, EpisodeSampler(pool=splits.train, ways=5, shots=1, queries=5, seed=0), config)


def test_protonet(splits):
    learner = ProtoNet(encoder=Conv4(outputs=None, width=32))
    sampler = EpisodeSampler(pool=splits.train, ways=20, shots=1, queries=5, seed=0)
    params = meta_train(learner, sampler, TrainConfig(steps=300, meta_batch_size=1, meta_lr=1e-3, plan="loop"))
    five, twenty = (accuracy(learner, params, splits, ways, 5).mean for ways in (5, 20))
    assert five >= 0.88 and twenty >= 0.72
    transductive = accuracy(replace(learner, transductive=True), params, splits, queries=5).mean
    assert abs(transductive - five) < 0.03


def test_maml_trains_transductively_and_tests_both_ways(splits):
    learner = MAML(model=STRIDE, inner_lr=0.5, transductive=True)
    params = train(learner, splits)
    transductive = accuracy(learner, params, splits)
    assert transductive.mean >= 0.72
    assert accuracy(replace(learner, transductive=False), params, splits).mean >= 0.68
    assert 0.14 <= transductive.curve[0].mean <= 0.26, "before adaptation nothing is known of the labels"


@pytest.mark.parametrize(
    ("learner", "least"),
    [
        (MetaSGD(model=STRIDE, inner_lr=0.5, transductive=True), 0.72),
        (MAML(model=STRIDE, inner_lr=0.5, transductive=True, first_order=True), 0.62),
        (
            ANIL(
                encoder=replace(STRIDE, outputs=None),
                head=Linear(inputs=32, outputs=5),
                inner_lr=0.5,
                transductive=True,
            ),
            0.62,
        ),
    ],
    ids=["meta_sgd", "fomaml", "anil"],
)
def test_its_relatives(splits, learner, least):
    assert accuracy(learner, train(learner, splits), splits).mean >= least


class SupportIsQuery:
    """The classic bug, planted: training loss goes to 0, and nothing is learned."""

    def __init__(self, sampler):
        self.sampler = sampler

    def episodes(self, first, count):
        episodes = self.sampler.episodes(first, count)
        return episodes._replace(query=episodes.support)

    def describe(self):
        return self.sampler.describe()


def test_training_on_the_support_as_query_fails_the_threshold(splits):
    learner = MAML(model=STRIDE, inner_lr=0.5, transductive=True)
    sampler = SupportIsQuery(EpisodeSampler(pool=splits.train, ways=5, shots=1, queries=5, seed=0))
    assert accuracy(learner, meta_train(learner, sampler, GRADIENT), splits).mean <= 0.60
