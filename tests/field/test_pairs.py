"""Learning from pairs, and without labels, on Omniglot (Vinyals split with rotations), against measured thresholds."""

import pytest

from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate import meta_test
from innerloop.evaluate.verification import verify
from innerloop.learners.baselines.self_supervised import SelfSupervised
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.learners.metric.siamese import Siamese
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import MLP
from innerloop.tasks import EpisodeSampler, UnsupervisedSampler
from tests.field.margins import holds

pytestmark = pytest.mark.slow

ENCODER = Conv4(outputs=None, width=32)


def accuracy(learner, params, splits):
    sampler = EpisodeSampler(pool=splits.test, ways=5, shots=1, queries=5, seed=77)
    return meta_test(learner, params, sampler, episodes=300)


def train(learner, sampler, steps, meta_lr=1e-3):
    config = TrainConfig(steps=steps, meta_batch_size=1, meta_lr=meta_lr, seed=sampler.seed, plan="loop")
    return meta_train(learner, sampler, config)


def test_siamese_verifies_and_classifies(splits, seed):
    learner = Siamese(encoder=ENCODER)
    sampler = EpisodeSampler(pool=splits.train, ways=20, shots=1, queries=5, seed=seed, same_group=0.5)
    params = train(learner, sampler, 400, meta_lr=3e-3)
    result = accuracy(learner, params, splits)
    holds("siamese", result.mean, result.ci95, least=0.80)
    for within, least in ((0.0, 0.88), (1.0, 0.80)):
        validation, test = (
            EpisodeSampler(pool=pool, ways=10, shots=1, queries=1, seed=77, same_group=within)
            for pool in (splits.validation, splits.test)
        )
        found = verify(learner, params, validation, test, episodes=200)
        holds(f"siamese, verified within {within}", found.accuracy.mean, found.accuracy.ci95, least=least)
        assert found.auc.mean > found.accuracy.mean > 0.5 > found.eer.mean


def test_protonet_from_unlabelled_pictures(splits, seed):
    learner = ProtoNet(encoder=ENCODER)
    params = train(learner, UnsupervisedSampler(pool=splits.train, ways=20, queries=5, seed=seed), 300)
    result = accuracy(learner, params, splits)
    holds("protonet from unlabelled pictures", result.mean, result.ci95, least=0.80)


def test_self_supervised(splits, seed):
    learner = SelfSupervised(encoder=ENCODER, projection=MLP(inputs=32, hidden=(32,), outputs=32))
    params = train(learner, UnsupervisedSampler(pool=splits.train, ways=64, seed=seed), 300)
    result = accuracy(learner, params, splits)
    holds("self-supervised", result.mean, result.ci95, least=0.80)
