"""Derivatives of the batch norm whose double backward is written out, in float64 against finite differences."""

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from innerloop.core.batch_norm import by_statistics, in_plain_operators, over_rows
from innerloop.core.model import Module

EPS = 1e-5
SHAPES = [(5, 2), (4, 2, 3), (3, 2, 2, 2), (2, 2, 2, 1, 2)]


def drawn(*shape: int, nhwc: bool = False) -> Tensor:
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(len(shape)))
    if nhwc:
        _, c, h, w = shape
        x = torch.empty_strided(shape, (c * h * w, 1, w * c, c), dtype=x.dtype).copy_(x)
    return x.requires_grad_()


def norm(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    return over_rows(x, weight, bias, EPS)


def plain(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    var, mean = torch.var_mean(x, (0, *range(2, x.dim())), correction=0)
    return in_plain_operators(x, mean, var, weight, bias, eps)


def norm_of(make, weights: dict[str, Tensor], x: Tensor) -> Tensor:
    return torch.func.functional_call(make().double(), weights, (x,))


def orders(norm, given: tuple[Tensor, ...], most: int) -> list[Tensor]:
    """Derivatives along fixed directions, of first order and up."""
    value, found = norm(*given, EPS).cumsum(0).sin().sum(), []
    for _ in range(most):
        slopes = torch.autograd.grad(value, given, create_graph=True)
        found.append(torch.cat([v.flatten() for v in slopes]))
        value = (found[-1] * torch.linspace(-1, 1, len(found[-1])).to(found[-1])).sum()
    return found


@pytest.mark.parametrize(("shape", "nhwc"), [(s, False) for s in SHAPES] + [(SHAPES[2], True), ((3, 1, 2, 2), True)])
def test_first_and_second_derivatives(shape, nhwc):
    x, weight, bias = drawn(*shape, nhwc=nhwc), drawn(shape[1]), drawn(shape[1], 1)[:, 0].detach().requires_grad_()
    given: Any
    for given in ((x, weight, bias), (x, None, None), (x, weight.detach(), bias.detach()), (x.detach(), weight, bias)):
        assert torch.autograd.gradcheck(norm, given)
        assert torch.autograd.gradgradcheck(norm, given)


@pytest.mark.parametrize(("shape", "nhwc"), [(s, False) for s in SHAPES] + [(SHAPES[2], True)])
def test_derivatives_by_given_statistics(shape, nhwc):
    x, mean, weight, bias = drawn(*shape, nhwc=nhwc), drawn(shape[1]), drawn(shape[1]), drawn(shape[1])
    var = drawn(shape[1]).detach().square().requires_grad_()
    fast, slow = (functools.partial(f, eps=EPS) for f in (by_statistics, in_plain_operators))
    given: Any
    for given in ((x, mean, var, weight, bias), (x, mean, var, None, None), (x.detach(), mean, var, weight, bias)):
        assert torch.autograd.gradcheck(fast, given)
        assert torch.autograd.gradgradcheck(fast, given)
        ours, plainly = (
            torch.autograd.grad(f(*given).sin().sum(), [v for v in given if v is not None and v.requires_grad])
            for f in (fast, slow)
        )
        for a, b in zip(ours, plainly, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("nhwc", [False, True])
def test_derivatives_of_fourth_order_are_those_of_plain_operators(nhwc):
    """torch's own batch norm is 4% off in the third."""
    given = drawn(4, 3, 2, 2, nhwc=nhwc), drawn(3), drawn(3, 1)[:, 0].detach().requires_grad_()
    for ours, expected in zip(orders(over_rows, given, 4), orders(plain, given, 4), strict=True):
        assert (ours - expected).norm() < 1e-10 * expected.norm()


def test_rows_that_do_not_count_change_no_derivative():
    """With a mask the statistics are written out otherwise; on the real rows it must be the same norm."""
    model = Module(lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 2), nn.BatchNorm2d(2, affine=False)))
    params = {k: v.double().requires_grad_() for k, v in model.init(0).items()}
    real, mask = drawn(4, 3, 3, 3).detach(), torch.tensor([True, True, False, True, True, False])
    padded = torch.zeros(6, 3, 3, 3, dtype=torch.float64)
    padded[mask] = real

    def second(x: Tensor, mask: Tensor | None) -> tuple[Tensor, ...]:
        out = model.apply(params, x, mask)
        loss = (out if mask is None else out[mask]).sin().cumsum(0).sum()
        first = torch.autograd.grad(loss, list(params.values()), create_graph=True)
        return torch.autograd.grad(torch.cat([v.flatten() for v in first]).square().sum(), list(params.values()))

    for a, b in zip(second(padded, mask), second(real, None), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "make",
    [lambda: nn.InstanceNorm2d(3, affine=True), lambda: nn.InstanceNorm2d(3), lambda: nn.LayerNorm([2, 2])],
    ids=["instance", "instance, not affine", "layer"],
)
@pytest.mark.parametrize("nhwc", [False, True])
def test_instance_and_layer_norm_are_the_same_function(make, nhwc):
    model, x = Module(make), drawn(2, 3, 2, 2, nhwc=nhwc)
    weights = {k: drawn(*v.shape) for k, v in model.init(0).items()}

    def f(x: Tensor, *values: Tensor) -> Tensor:
        return model.apply(dict(zip(weights, values, strict=True)), x)

    assert torch.autograd.gradcheck(f, (x, *weights.values()))
    assert torch.autograd.gradgradcheck(f, (x, *weights.values()))
    torch.testing.assert_close(f(x, *weights.values()), norm_of(make, weights, x), rtol=1e-12, atol=1e-12)


def test_float32_far_from_the_origin():
    given = ((drawn(64, 3, 4, 4).detach() + 100).requires_grad_(), drawn(3), drawn(3))
    low = tuple(v.detach().float().requires_grad_() for v in given)
    for ours, expected in zip(orders(over_rows, low, 2), orders(over_rows, given, 2), strict=True):
        assert (ours.double() - expected).norm() < 1e-3 * expected.norm()


def test_mixed_precision_is_left_to_torch_and_without_a_graph_nothing_differs():
    x, weight, bias = drawn(4, 3, 2, 2), drawn(3), drawn(3)
    with torch.no_grad():
        unseen = over_rows(x, weight, bias, EPS)
    assert torch.equal(unseen, over_rows(x, weight, bias, EPS))
    mixed = over_rows(x.detach().bfloat16().requires_grad_(), weight.float(), bias.float(), EPS)
    assert mixed.dtype == torch.bfloat16 and "NativeBatchNorm" in type(mixed.grad_fn).__name__
