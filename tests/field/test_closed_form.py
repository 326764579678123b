"""Closed-form learners on Omniglot (Vinyals split, rotations as classes), against thresholds measured on two cores."""

import pytest

from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate import meta_test
from innerloop.learners.closed_form.logistic import LRD2
from innerloop.learners.closed_form.r2d2 import R2D2
from innerloop.nn.conv4 import Conv4
from innerloop.tasks import EpisodeSampler
from tests.field.margins import holds

pytestmark = pytest.mark.slow

ENCODER = Conv4(outputs=None, width=32)


@pytest.mark.parametrize(
    ("learner", "least"),
    [(R2D2(encoder=ENCODER, decay=20.0), 0.87), (LRD2(encoder=ENCODER), 0.87)],
    ids=["r2d2", "logistic"],
)
def test_five_ways_one_shot(splits, seed, learner, least):
    train = EpisodeSampler(pool=splits.train, ways=20, shots=1, queries=5, seed=seed)
    config = TrainConfig(steps=300, meta_batch_size=1, meta_lr=1e-3, seed=seed, plan="loop")
    params = meta_train(learner, train, config)
    test = EpisodeSampler(pool=splits.test, ways=5, shots=1, queries=5, seed=77)
    result = meta_test(learner, params, test, episodes=200)
    holds(type(learner).__name__, result.mean, result.ci95, least=least)
