"""Metric learners on Omniglot (Vinyals split, rotations as classes), against thresholds measured on two cores."""

import pytest

from innerloop.core.interval import difference
from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate import meta_test
from innerloop.learners.metric.matching import MatchingNet
from innerloop.nn.conv4 import Conv4
from innerloop.tasks import EpisodeSampler
from tests.field.margins import holds

pytestmark = pytest.mark.slow


def test_matching_needs_its_temperature(splits, seed):
    train = EpisodeSampler(pool=splits.train, ways=20, shots=1, queries=5, seed=seed)
    test = EpisodeSampler(pool=splits.test, ways=5, shots=1, queries=5, seed=77)
    config = TrainConfig(steps=300, meta_batch_size=1, meta_lr=1e-3, seed=seed, plan="loop")
    results = {}
    for temperature in (10.0, None):
        learner = MatchingNet(encoder=Conv4(outputs=None, width=32), temperature=temperature)
        results[temperature] = meta_test(learner, meta_train(learner, train, config), test, episodes=200)
    holds("matching", results[10.0].mean, results[10.0].ci95, least=0.86)
    gain = difference(results[10.0].scores[:, 0], results[None].scores[:, 0])
    holds("matching, gain by its temperature", gain.mean, gain.ci95, least=0.10)
