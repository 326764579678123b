import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import MLP, Linear
from innerloop.nn.resnet12 import ResNet12


def count(model) -> int:
    return sum(p.numel() for p in model.init(0).values())


def test_conv4_has_the_published_size():
    """640 + 3 * 36,928 of the convolutions and 4 * 128 of the norms: a missing pool or norm shows here."""
    assert count(Conv4(outputs=None)) == count(Conv4(outputs=None, pool="stride")) == 111_936


@pytest.mark.parametrize("pool", ["max", "stride"])
@pytest.mark.parametrize(("size", "channels"), [(28, 1), (84, 3), (64, 3)])
def test_conv4_shapes(pool, size, channels):
    x = torch.zeros(2, channels, size, size)
    encoder = Conv4(channels=channels, size=size, outputs=None, width=8, pool=pool)
    assert encoder.apply(encoder.init(0), x).shape == (2, encoder.features)
    classifier = Conv4(channels=channels, size=size, outputs=7, width=8, pool=pool)
    assert classifier.apply(classifier.init(0), x).shape == (2, 7)


def test_conv4_refuses_pictures_that_pool_away():
    with pytest.raises(InputError, match="at least 16"):
        Conv4(size=8).init(0)


def test_resnet12_has_the_published_size_and_shapes():
    """The (64, 160, 320, 640) encoder is the field's 12.4 million parameter network."""
    assert count(ResNet12(outputs=None)) == 12_424_320
    small = ResNet12(channels=1, size=32, outputs=3, widths=(4, 8, 8, 8))
    assert small.apply(small.init(0), torch.zeros(2, 1, 32, 32)).shape == (2, 3)
    encoder = ResNet12(channels=1, size=32, outputs=None, widths=(4, 8, 8, 8))
    assert encoder.apply(encoder.init(0), torch.zeros(2, 1, 32, 32)).shape == (2, encoder.features)


def test_mlp_shapes():
    assert MLP().apply(MLP().init(0), torch.zeros(5, 1)).shape == (5, 1)
    tanh = MLP(inputs=4, hidden=(3,), outputs=2, activation="tanh")
    assert tanh.apply(tanh.init(0), torch.zeros(5, 2, 2)).shape == (5, 2)
    assert count(MLP()) == 1761
    zero = Linear(inputs=4, outputs=3, zero=True)
    assert zero.apply(zero.init(0), torch.ones(2, 4)).abs().sum() == 0
