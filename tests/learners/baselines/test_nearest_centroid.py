import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid as Oracle

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from tests.compared import close
from tests.conformance import Conformance, TransductiveConformance
from tests.problems import NeedlesInNoise, encoder


class TestNearestCentroid(Conformance):
    learner = NearestCentroid()
    gain = 0.0


class TestNearestCentroidOfAnEncoder(TransductiveConformance):
    learner = NearestCentroid(encoder=Module(encoder))


class TestNearestCentroidByTheCosine(TransductiveConformance):
    learner = NearestCentroid(encoder=Module(encoder), distance="cosine")


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
    assert close(flat, square, 1e-12)


def test_the_cosine_is_that_of_numpy_and_no_length_matters():
    support, query = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    learner = NearestCentroid(distance="cosine")
    found = learner.predict({}, learner.adapt({}, support), query.x)
    x, y, q = support.x.double().numpy(), support.y.numpy(), query.x.double().numpy()
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    means = np.stack([unit[y == c].mean(0) for c in range(y.max() + 1)])
    expected = q @ means.T / np.linalg.norm(q, axis=1)[:, None] / np.linalg.norm(means, axis=1)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    longer = support._replace(x=support.x * torch.linspace(0.1, 9, len(support.x))[:, None])
    again = learner.predict({}, learner.adapt({}, longer), 3 * query.x)
    assert torch.allclose(found, again, atol=1e-5)


def test_a_distance_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="use squared_euclidean, cosine"):
        NearestCentroid(distance="manhattan")  # pyright: ignore[reportArgumentType]
