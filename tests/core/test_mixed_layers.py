"""A network whose rows are mixed in front of a layer: the layers before it and after it, written out."""

import pytest
import torch
from torch import nn

from innerloop.core.errors import InputError
from innerloop.core.mixed_layers import MixedLayers
from innerloop.core.model import Module

LAYERS = 3


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh())


def nested() -> nn.Module:
    return nn.ModuleList([nn.Linear(4, 2)])


X, OTHER = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layer", range(LAYERS))
def test_rows_are_mixed_in_front_of_one_layer(layer):
    network, weight = MixedLayers(network=Module(plain)), torch.linspace(0, 1, 6)
    params = network.init(0)
    assert params.keys() == Module(plain).init(0).keys()
    at = torch.full((6,), (layer + 0.5) / LAYERS)
    found = network.apply(params, {"x": X, "other": OTHER, "weight": weight, "at": at})
    module = plain()
    module.load_state_dict(params)
    assert isinstance(module, nn.Sequential)
    with torch.no_grad():
        own, other = module[:layer](X), module[:layer](OTHER)
        expected = module[layer:](weight[:, None] * own + (1 - weight[:, None]) * other)
    assert torch.allclose(found, expected, atol=1e-6)


def test_rows_alone_and_their_statistics_are_those_of_the_network():
    network, mixed = Module(normed), MixedLayers(network=Module(normed))
    params, mask = network.init(0), torch.arange(6) < 4
    for outputs, kept in zip(network.observe(params, X, mask), mixed.observe(params, X, mask), strict=True):
        for k, a in outputs.items() if isinstance(outputs, dict) else [("", outputs)]:
            assert torch.allclose(a, kept[k] if isinstance(kept, dict) else kept, atol=1e-6)
    assert torch.allclose(network.apply(params, X), mixed.apply(params, X), atol=1e-6)


def test_a_network_that_is_no_row_of_layers_is_refused():
    with pytest.raises(InputError, match=r"layers in a row \(nn.Sequential\), and Module makes a ModuleList"):
        MixedLayers(network=Module(nested)).init(0)
