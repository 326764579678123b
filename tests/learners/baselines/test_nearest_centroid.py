import torch
from sklearn.neighbors import NearestCentroid as Oracle

from innerloop.core import tree
from innerloop.core.model import Module
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from tests.conformance import Conformance, TransductiveConformance
from tests.problems import NeedlesInNoise, encoder


class TestNearestCentroid(Conformance):
    learner = NearestCentroid()
    gain = 0.0


class TestNearestCentroidOfAnEncoder(TransductiveConformance):
    learner = NearestCentroid(encoder=Module(encoder))


def test_it_is_scikit_learns():
    for i in range(5):
        support, query = tree.slice(NeedlesInNoise().episodes(i, 1), 0)
        learner = NearestCentroid()
        found = learner.predict({}, learner.adapt({}, support), query.x).argmax(-1)
        oracle = Oracle().fit(support.x.numpy(), support.y.numpy()).predict(query.x.numpy())
        assert (found.numpy() == oracle).all()


def test_pictures_are_flattened():
    support, query = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    learner = NearestCentroid()
    flat = learner.predict({}, learner.adapt({}, support), query.x)
    square = learner.predict(
        {}, learner.adapt({}, support._replace(x=support.x.reshape(-1, 2, 4))), query.x.reshape(-1, 2, 4)
    )
    assert torch.equal(flat, square)
