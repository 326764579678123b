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
from innerloop.tasks.datasets.omniglot import omniglot

pytestmark = pytest.mark.slow

ENCODER = Conv4(outputs=None, width=32)


@pytest.fixture(scope="module")
def splits(data_root):
    return omniglot(data_root, split="vinyals")


def accuracy(learner, params, splits):
    sampler = EpisodeSampler(pool=splits.test, ways=5, shots=1, queries=5, seed=77)
    return meta_test(learner, params, sampler, episodes=300).mean


def train(learner, sampler, steps, meta_lr=1e-3):
    return meta_train(learner, sampler, TrainConfig(steps=steps, meta_batch_size=1, meta_lr=meta_lr, plan="loop"))


def test_siamese_verifies_and_classifies(splits):
    learner = Siamese(encoder=ENCODER)
    sampler = EpisodeSampler(pool=splits.train, ways=20, shots=1, queries=5, seed=0, within=0.5)
    params = train(learner, sampler, 400, meta_lr=3e-3)
    assert accuracy(learner, params, splits) >= 0.80
    for within, least in ((0.0, 0.88), (1.0, 0.80)):
        validation, test = (
            EpisodeSampler(pool=pool, ways=10, shots=1, queries=1, seed=77, within=within)
            for pool in (splits.validation, splits.test)
        )
        found = verify(learner, params, validation, test, episodes=200)
        assert found.accuracy.mean >= least, f"within {within}"
        assert found.auc.mean > found.accuracy.mean > 0.5 > found.eer.mean


def test_protonet_from_unlabelled_pictures(splits):
    learner = ProtoNet(encoder=ENCODER)
    params = train(learner, UnsupervisedSampler(pool=splits.train, ways=20, queries=5, seed=0), 300)
    assert accuracy(learner, params, splits) >= 0.80


def test_self_supervised(splits):
    learner = SelfSupervised(encoder=ENCODER, projection=MLP(inputs=32, hidden=(32,), outputs=32))
    params = train(learner, UnsupervisedSampler(pool=splits.train, ways=64, seed=0), 300)
    assert accuracy(learner, params, splits) >= 0.80
