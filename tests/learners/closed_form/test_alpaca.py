import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct
from torch import nn

from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.types import Batch
from innerloop.learners.closed_form.alpaca import ALPaCA
from innerloop.nn.mlp import MLP, Linear
from tests.conformance import ValuesConformance
from tests.problems import FEATURES, INPUTS

LEARNER = ALPaCA(
    encoder=MLP(INPUTS, (16,), FEATURES, activation="tanh"), head=Linear(FEATURES, 3), basis=Linear(FEATURES, FEATURES)
)


class TestALPaCA(ValuesConformance):
    learner = LEARNER


@torch.no_grad()
@pytest.mark.parametrize("noise", [0.3, 2.0])
def test_it_is_a_gaussian_process_with_a_linear_kernel(noise):
    generator = torch.Generator().manual_seed(0)
    x, new = (torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (6, 3))
    y = torch.randn(6, 2, generator=generator, dtype=torch.float64)
    learner = ALPaCA(encoder=Module(nn.Flatten), head=Linear(4, 2, zero=True), basis=Module(nn.Flatten), sigma=noise)
    params = {k: v.double() for k, v in learner.init(0).items()}
    adapted = learner.adapt(params, Batch(x, y))
    oracle = GaussianProcessRegressor(DotProduct(0.0, "fixed"), alpha=noise**2).fit(x.numpy(), y.numpy())
    mean, deviation = oracle.predict(new.numpy(), return_std=True)
    assert torch.allclose(learner.predict(params, adapted, new), torch.from_numpy(mean), atol=1e-7)
    std = learner.predictive(params, adapted, new).std
    assert std is not None
    expected = (torch.from_numpy(deviation).square() + noise**2).sqrt()
    assert torch.allclose(std[0], expected.reshape(3, -1).expand(3, 2), atol=1e-7)


def test_nothing_known_is_what_the_head_says():
    learner = LEARNER
    params = learner.init(0)
    x = torch.randn(5, INPUTS)
    blank = Batch(x, torch.randn(5, 3), torch.zeros(5, dtype=torch.bool))
    features = learner.encoder.apply({k[8:]: v for k, v in params.items() if k.startswith("encoder.")}, x)
    head = learner.head.apply({k[5:]: v for k, v in params.items() if k.startswith("head.")}, features)
    assert torch.allclose(learner.predict(params, learner.adapt(params, blank), x), head)


def test_classes_are_pointed_to_another_learner():
    learner = LEARNER
    with pytest.raises(InputError, match="take r2d2"):
        learner.adapt(learner.init(0), Batch(torch.zeros(2, INPUTS), torch.zeros(2, dtype=torch.int64)))
