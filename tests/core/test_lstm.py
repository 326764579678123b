import torch
from torch import nn

from innerloop.core.lstm import next_state


def test_a_step_is_torchs():
    generator = torch.Generator().manual_seed(0)
    native = nn.LSTMCell(4, 3).double()
    x, h, c = (torch.randn(5, n, generator=generator, dtype=torch.float64) for n in (4, 3, 3))
    gates = x @ native.weight_ih.T + native.bias_ih + h @ native.weight_hh.T + native.bias_hh
    for found, expected in zip(next_state(gates, c), native(x, (h, c)), strict=True):
        assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)
