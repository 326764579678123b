"""Metric learners on Omniglot (Vinyals split, rotations as classes), against thresholds measured on two cores."""

import pytest

from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate import meta_test
from innerloop.learners.metric.matching import MatchingNet
from innerloop.nn.conv4 import Conv4
from innerloop.tasks import EpisodeSampler
from innerloop.tasks.datasets.omniglot import omniglot

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def splits(data_root):
    return omniglot(data_root, split="vinyals")


def test_matching_needs_its_temperature(splits):
    train = EpisodeSampler(pool=splits.train, ways=20, shots=1, queries=5, seed=0)
    test = EpisodeSampler(pool=splits.test, ways=5, shots=1, queries=5, seed=77)
    config = TrainConfig(steps=300, meta_batch_size=1, meta_lr=1e-3, plan="loop")
    found = {}
    for temperature in (10.0, None):
        learner = MatchingNet(encoder=Conv4(outputs=None, width=32), temperature=temperature)
        found[temperature] = meta_test(learner, meta_train(learner, train, config), test, episodes=200).mean
    assert found[10.0] >= 0.86
    assert found[10.0] - found[None] >= 0.10
