import pytest
import torch
from sklearn.neighbors import NearestCentroid

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.types import Batch
from innerloop.learners.online.nearest_mean import NearestMean
from tests.online import OnlineConformance
from tests.problems import NeedlesInNoise, encoder, inputs, rowwise


class TestNearestMean(OnlineConformance):
    learner = NearestMean(encoder=Module(rowwise))


def test_a_stream_gives_the_classifier_of_all_its_rows_in_scikit_learn():
    support, query = tree.slice(NeedlesInNoise(shots=20).episodes(0, 1), 0)
    expected = NearestCentroid().fit(inputs(support).numpy(), support.y.numpy()).predict(inputs(query).numpy())
    for order in (support.y.argsort(), torch.randperm(60, generator=torch.Generator().manual_seed(1))):
        learner = NearestMean()
        state = learner.begin({}, support)
        for part in order.split(7):
            state = learner.observe({}, state, Batch(inputs(support)[part], support.y[part]))
        assert learner.predict({}, state, query.x).argmax(1).tolist() == expected.tolist()


def test_features_of_unit_length_are_averaged_by_the_cosine():
    support, query = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    learner = NearestMean(distance="cosine")
    logits = learner.predict({}, learner.adapt({}, support), query.x)
    rows, asked = (v / v.norm(dim=1, keepdim=True) for v in (inputs(support), inputs(query)))
    for k in range(3):
        mean = rows[support.y == k].mean(0)
        assert torch.allclose(logits[:, k], asked @ mean / mean.norm(), atol=1e-9)


def test_an_encoder_with_batch_norms_is_refused():
    learner = NearestMean(encoder=Module(encoder))
    with pytest.raises(InputError, match="a network with batch norms needs the statistics of many rows"):
        learner.begin(learner.init(0), tree.slice(NeedlesInNoise(dtype=torch.float32).episodes(0, 1), 0).support)
