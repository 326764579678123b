import torch
from sklearn.linear_model import Ridge

from innerloop.core import tree
from innerloop.core.model import Module
from innerloop.core.types import Batch
from innerloop.learners.online.random_projection import RandomProjection
from tests.online import OnlineConformance
from tests.problems import NeedlesInNoise, inputs, rowwise


class TestRandomProjection(OnlineConformance):
    learner = RandomProjection(encoder=Module(rowwise), units=20)
    gain = 0.1


def test_a_stream_gives_ridge_regression_on_all_its_rows_in_every_order():
    support, query = tree.slice(NeedlesInNoise(shots=20).episodes(0, 1), 0)
    learner = RandomProjection(units=50, ridge=0.3)
    start = learner.begin({}, support)
    rows, asked = (torch.relu(inputs(part) @ start.projection).numpy() for part in (support, query))
    targets = torch.nn.functional.one_hot(support.y).double().numpy()
    expected = torch.from_numpy(Ridge(alpha=0.3, fit_intercept=False).fit(rows, targets).predict(asked))
    for order in (support.y.argsort(), torch.randperm(60, generator=torch.Generator().manual_seed(1))):
        state = start
        for part in order.split(7):
            state = learner.observe({}, state, Batch(inputs(support)[part], support.y[part]))
        assert torch.allclose(learner.predict({}, state, query.x), expected, atol=1e-9)


def test_an_answer_solves_nothing(monkeypatch):
    support, query = tree.slice(NeedlesInNoise(shots=2).episodes(0, 1), 0)
    learner = RandomProjection(units=8)
    adapted = learner.adapt({}, support)
    expected = learner.predict({}, adapted, query.x)
    for name in ("cholesky_ex", "solve", "lstsq", "inv"):
        monkeypatch.setattr(torch.linalg, name, None)
    assert torch.equal(learner.predict({}, adapted, query.x), expected)


def test_the_layer_is_a_function_of_its_seed():
    support = tree.slice(NeedlesInNoise(shots=1).episodes(0, 1), 0).support
    layers = [RandomProjection(projection_seed=seed).begin({}, support).projection for seed in (0, 0, 1)]
    assert torch.equal(layers[0], layers[1]) and not torch.allclose(layers[0], layers[2])
    assert abs(float(layers[0].std()) - 1000**-0.5) < 1e-3
