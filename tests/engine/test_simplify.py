"""A recorded graph called directly is the graph."""

import torch
from torch.fx.experimental.proxy_tensor import make_fx

from innerloop.engine.simplify import direct, simplify


def _graph(f, *example):
    return simplify(make_fx(f, tracing_mode="fake", _allow_non_fake_inputs=True)(*example))


def test_a_graph_called_directly_gives_what_it_gives_through_its_module():
    table = torch.arange(6.0).reshape(2, 3)  # becomes an attribute of the module

    def f(x, y):
        value = torch.nn.functional.relu(x @ y).to(torch.float64).sum(0) * table.double().sum()
        return value, torch.zeros_like(x), torch.full((2,), float("inf"), device=x.device)

    x, y = torch.randn(3, 4), torch.randn(4, 2)
    graph = _graph(f, x, y)
    called = direct(graph)
    for expected, result in zip(graph(2 * x, y), called(2 * x, y), strict=True):
        assert expected.dtype == result.dtype and torch.equal(expected, result)


def test_calling_directly_looks_no_operator_up_by_its_name():
    graph = _graph(lambda x: (x.sin() + x.cos()).sum(), torch.randn(3))
    assert "ops" in graph.forward.__code__.co_names
    assert "ops" not in direct(graph).__code__.co_names  # pyright: ignore[reportFunctionMemberAccess]
