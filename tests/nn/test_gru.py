"""A recurrent unit of plain layers, against torch's own."""

import torch
from torch import nn

from innerloop.core import tree
from innerloop.nn.gru import GRU


def test_it_is_torchs_cell_step_after_step():
    cell, native = GRU(inputs=4, units=3), nn.GRUCell(4, 3).double()
    params = {k: v.double() for k, v in cell.init(0).items()}
    with torch.no_grad():
        for kind in ("weight", "bias"):
            getattr(native, f"{kind}_ih").copy_(params[f"new.{kind}"])
            getattr(native, f"{kind}_hh").copy_(params[f"old.{kind}"])
    generator = torch.Generator().manual_seed(0)
    found = expected = torch.zeros(5, 3, dtype=torch.float64)
    for _ in range(20):
        x = torch.randn(5, 4, generator=generator, dtype=torch.float64)
        found, expected = cell.apply(params, {"x": x, "h": found}), native(x, expected)
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_each_gates_map_of_the_state_is_orthogonal_to_begin_with():
    weights = tree.part({f"gru.{k}": v for k, v in GRU(inputs=2, units=5).init(1).items()}, "gru")["old.weight"]
    assert weights.shape == (15, 5)
    for part in weights.double().chunk(3):
        assert torch.allclose(part @ part.T, torch.eye(5, dtype=torch.float64), atol=1e-5)
