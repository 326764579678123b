import torch
from torch import nn

from innerloop.core.gru import next_state


def test_a_step_is_torchs():
    generator = torch.Generator().manual_seed(0)
    native = nn.GRUCell(4, 3).double()
    x, h = (torch.randn(5, n, generator=generator, dtype=torch.float64) for n in (4, 3))
    new, old = x @ native.weight_ih.T + native.bias_ih, h @ native.weight_hh.T + native.bias_hh
    assert torch.allclose(next_state(new, old, h), native(x, h), rtol=1e-12, atol=1e-12)
