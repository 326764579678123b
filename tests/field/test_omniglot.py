"""Short trainings on Omniglot (Vinyals split, rotations as classes) against thresholds measured on two cores.

The thresholds catch regressions; one untuned learning rate serves all, so they do not rank methods.
"""

from dataclasses import replace

import pytest

from innerloop.core.interval import difference
from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate import meta_test
from innerloop.learners.gradient.anil import ANIL
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.gradient.meta_sgd import MetaSGD
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import Linear
from innerloop.tasks import EpisodeSampler
from tests.field.margins import holds

pytestmark = pytest.mark.slow

STRIDE = Conv4(width=32, pool="stride")
GRADIENT = TrainConfig(steps=200, meta_batch_size=8, meta_lr=5e-3, plan="loop")
GUESSING = 0.2


def accuracy(learner, params, splits, ways=5, queries=15):
    sampler = EpisodeSampler(pool=splits.test, ways=ways, shots=1, queries=queries, seed=77)
    return meta_test(learner, params, sampler, episodes=200)


def train(learner, splits, seed, config=GRADIENT):
    sampler = EpisodeSampler(pool=splits.train, ways=5, shots=1, queries=5, seed=seed)
    return meta_train(learner, sampler, replace(config, seed=seed))


def test_protonet(splits, seed):
    learner = ProtoNet(encoder=Conv4(outputs=None, width=32))
    sampler = EpisodeSampler(pool=splits.train, ways=20, shots=1, queries=5, seed=seed)
    config = TrainConfig(steps=300, meta_batch_size=1, meta_lr=1e-3, seed=seed, plan="loop")
    params = meta_train(learner, sampler, config)
    five, twenty = (accuracy(learner, params, splits, ways, 5) for ways in (5, 20))
    holds("protonet, 5 ways", five.mean, five.ci95, least=0.88)
    holds("protonet, 20 ways", twenty.mean, twenty.ci95, least=0.72)
    transductive = accuracy(replace(learner, transductive=True), params, splits, queries=5)
    apart = difference(transductive.scores[:, 0], five.scores[:, 0])
    holds("protonet, transductive and inductive apart", abs(apart.mean), apart.ci95, most=0.03)


def test_maml_trains_transductively_and_tests_both_ways(splits, seed):
    learner = MAML(model=STRIDE, inner_lr=0.5, transductive=True)
    params = train(learner, splits, seed)
    transductive = accuracy(learner, params, splits)
    holds("maml, transductive", transductive.mean, transductive.ci95, least=0.72)
    inductive = accuracy(replace(learner, transductive=False), params, splits)
    holds("maml, inductive", inductive.mean, inductive.ci95, least=0.68)
    assert transductive.curve is not None
    before = transductive.curve[0]  # nothing is known of the labels
    holds("maml, before adaptation off guessing", abs(before.mean - GUESSING), before.ci95, most=0.06)


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
def test_its_relatives(splits, seed, learner, least):
    result = accuracy(learner, train(learner, splits, seed), splits)
    order = ", first order" if getattr(learner, "first_order", False) else ""
    holds(f"{type(learner).__name__}{order}, transductive", result.mean, result.ci95, least=least)


class SupportIsQuery:
    """The classic bug, planted: training loss goes to 0, and nothing is learned."""

    def __init__(self, sampler):
        self.sampler = sampler

    def episodes(self, first, count):
        episodes = self.sampler.episodes(first, count)
        return episodes._replace(query=episodes.support)

    def describe(self):
        return self.sampler.describe()


def test_training_on_the_support_as_query_fails_the_threshold(splits, seed):
    learner = MAML(model=STRIDE, inner_lr=0.5, transductive=True)
    sampler = SupportIsQuery(EpisodeSampler(pool=splits.train, ways=5, shots=1, queries=5, seed=seed))
    result = accuracy(learner, meta_train(learner, sampler, replace(GRADIENT, seed=seed)), splits)
    holds("maml, trained on the support as query", result.mean, result.ci95, most=0.60)
