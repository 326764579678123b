import pytest
import torch

from innerloop.core.prototypes import squared_distance


def exact(x, y):
    return (x.double()[:, None] - y.double()).square().sum(-1)


@pytest.mark.parametrize("away", [0.0, 100.0, 5_000.0, 1e6])
def test_distances_far_from_the_origin(away):
    """To what float32 says of the points themselves: two that are near to each other keep their distance."""
    g = torch.Generator().manual_seed(0)
    x, y = (away + torch.randn(n, 16, generator=g) for n in (7, 5))
    error = (squared_distance(x, y).double() - exact(x, y)).abs().max()
    assert error <= 1e-5 * exact(x, y).max()


def test_classes_without_examples_do_not_move_the_others():
    g = torch.Generator().manual_seed(0)
    x, y = (5_000 + torch.randn(n, 16, generator=g) for n in (7, 5))
    y = torch.cat([y, torch.zeros(20, 16)])
    error = (squared_distance(x, y)[:, :5].double() - exact(x, y)[:, :5]).abs().max()
    assert error <= 1e-5 * exact(x, y)[:, :5].max()


def test_one_row_and_many_differ_by_rounding_of_the_distances():
    g = torch.Generator().manual_seed(0)
    y = torch.randn(1, 64, generator=g) + 1e-3 * torch.randn(5, 64, generator=g)  # as of a network that is not trained
    x = y[:1] + 1e-3 * torch.randn(300, 64, generator=g)
    many, one = squared_distance(x, y), torch.cat([squared_distance(row[None], y) for row in x])
    assert (many - one).abs().max() <= 1e-5 * many.max()


def test_derivatives_are_those_of_the_distance():
    g = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, 3, generator=g, dtype=torch.float64).requires_grad_() for n in (4, 3))
    assert torch.autograd.gradcheck(squared_distance, (x, y)) and torch.autograd.gradgradcheck(squared_distance, (x, y))
    same = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda v: squared_distance(v, v), (same,))
    zero = torch.zeros(2, 3, requires_grad=True)
    (slope,) = torch.autograd.grad(squared_distance(zero, zero).sum(), zero)
    assert slope.isfinite().all()
