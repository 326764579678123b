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
    assert "ops" not in direct(graph).func.__code__.co_names


def test_what_no_input_reaches_is_computed_once_unless_it_is_drawn_or_given_out():
    def f(x):
        rows = torch.arange(3).double() + 1
        return x * rows, torch.rand(3) * x, torch.ones(3)

    called = direct(_graph(f, torch.ones(3, dtype=torch.float64)))
    assert [v.tolist() for v in called.args[1:]] == [[1, 2, 3]]
    first, second = (called(torch.full((3,), 2.0, dtype=torch.float64)) for _ in range(2))
    assert first[0].tolist() == second[0].tolist() == [2, 4, 6]
    assert not torch.equal(first[1], second[1]) and first[2] is not second[2]


def test_what_is_written_into_is_made_anew_at_every_call():
    def f(x):
        total = torch.zeros(4, dtype=torch.float64)
        total.view(2, 2)[1].add_(x)
        return total * 2

    called = direct(_graph(f, torch.ones(2, dtype=torch.float64)))
    for _ in range(2):
        assert called(torch.ones(2, dtype=torch.float64)).tolist() == [0, 0, 2, 2]
