"""Linear layers by oneDNN: the same numbers, and gradients where somebody learns."""

import copy

import pytest
import torch
from torch import nn

from innerloop.encoders import linear


@pytest.fixture
def network(monkeypatch):
    monkeypatch.setattr(linear, "slow", lambda: True)
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(48, 96), nn.GELU(), nn.Linear(96, 64, bias=False), nn.Linear(64, 3))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch comes without oneDNN")
def test_rows_are_the_same_up_to_rounding(network):
    plain, x = copy.deepcopy(network), torch.randn(5, 7, 48)
    quick = linear.quickened(network)
    kinds = [type(layer) for layer in quick]
    assert kinds == [linear.Linear, nn.GELU, linear.Linear, nn.Linear], "small ones stay as they are"
    with torch.no_grad():
        assert torch.allclose(quick(x), plain(x), atol=1e-5)
        assert torch.allclose(copy.deepcopy(quick).double()(x.double()), plain.double()(x.double()))
    assert quick.state_dict().keys() == plain.state_dict().keys()


def test_what_is_learned_from_has_gradients(network):
    plain, x = copy.deepcopy(network), torch.randn(5, 48)
    linear.quickened(network)(x).square().sum().backward()
    plain(x).square().sum().backward()
    for one, other in zip(network.parameters(), plain.parameters(), strict=True):
        assert one.grad is not None and torch.equal(one.grad, other.grad)


def test_the_maker_decides(monkeypatch, tmp_path):
    for maker, expected in (("AuthenticAMD", torch.backends.mkldnn.is_available()), ("GenuineIntel", False)):
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nvendor_id\t: {maker}\n")
        monkeypatch.setattr(linear, "_ABOUT", tmp_path / "cpuinfo")
        assert linear.slow.__wrapped__() is expected
    monkeypatch.setattr(linear, "_ABOUT", tmp_path / "nowhere")
    assert linear.slow.__wrapped__() is False
