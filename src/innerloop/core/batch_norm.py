"""Batch normalisation of [n, features, ...], with its double backward written out.

torch composes that of some forty elementwise operators: two thirds of second-order MAML on 84x84 pictures. Written out
it is the ordinary backward pass once more, a mean, and a linear combination. With x^ = (x - mean) r, where r is the
inverse deviation, g the slope that reaches the result, and u, v, s those that reach the slopes of x, weight w and bias,

    to g:  w r (u - [u] - [u x^] x^) + v x^ + s                 the first term is the backward pass, at u in place of g
    to x:  r (a (g - [g] - [g x^] x^) - w r [g x^] (u - [u] - [u x^] x^) - w r S x^)
    to w:  n r S

where [.] is the mean over n rows and places, a = v - w r [u x^], and S = [u g] - [u] [g] - [u x^] [g x^].
"""

from typing import Any

import torch
from torch import Tensor

from innerloop.core.gradient import transformed


def written_out(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> bool:
    """Whether `over_rows` has derivatives of its own here.

    Not without a graph, in mixed precision, under a transform, where a Function cannot be, or beside cuDNN.
    """
    same = all(v is None or v.dtype == x.dtype for v in (weight, bias))
    return same and torch.is_grad_enabled() and x.device.type == "cpu" and x.numel() > 0 and not transformed()


def over_rows(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """`x` normalised by its own statistics, outside of transforms.

    Args:
        x: [n, features, ...].
        weight: [features]; None: 1.
        bias: [features]; None: 0.
        eps: Added to the variance.
    """
    if not written_out(x, weight, bias):
        return torch.batch_norm(x, weight, bias, None, None, True, 0.0, eps, False)
    weight = x.new_ones(x.shape[1]) if weight is None else weight
    bias = x.new_zeros(x.shape[1]) if bias is None else bias
    return _Norm.apply(x, weight, bias, eps)  # pyright: ignore[reportReturnType]


def by_statistics(
    x: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """`x` [n, features, ...] normalised by statistics [features], which may have a graph too."""
    mixed = x.dtype == torch.bfloat16 and mean.dtype == torch.float32
    if not written_out(mean if mixed else x, weight, bias) or not (mixed or mean.dtype == x.dtype):
        return in_plain_operators(x, mean, var, weight, bias, eps)
    weight = mean.new_ones(x.shape[1]) if weight is None else weight
    bias = mean.new_zeros(x.shape[1]) if bias is None else bias
    return _Given.apply(x, mean, var, weight, bias, eps)  # pyright: ignore[reportReturnType]


def in_plain_operators(
    x: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """`by_statistics` as torch differentiates it any number of times, under any transform."""
    scale = torch.rsqrt(var + eps)
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale
    if bias is not None:
        shift = shift + bias
    return torch.addcmul(_along(shift, x), x, _along(scale, x))


class _Given(torch.autograd.Function):
    """`by_statistics` with a first backward pass of one native call, where plain operators take five passes over x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        ctx.save_for_backward(x, mean, var, weight, bias)
        ctx.eps = eps
        return torch.native_batch_norm(x, weight, bias, mean, var, False, 0.0, eps)[0]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, mean, var, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled():
            # Aliases, as in `_once_more`.
            x, mean, var, weight = (
                v.view_as(v) if v.requires_grad else v.detach().requires_grad_() for v in (x, mean, var, weight)
            )
            bias = bias.detach().requires_grad_()
            result = in_plain_operators(x, mean, var, weight, bias, ctx.eps)
            return *torch.autograd.grad(result, (x, mean, var, weight, bias), g, create_graph=True), None
        native, each = torch.ops.aten.native_batch_norm_backward, [True, True, True]
        of_x, of_weight, of_bias = native(g, x, weight, mean, var, None, None, False, ctx.eps, each)
        r = torch.rsqrt(var + ctx.eps)
        return of_x, -r * weight * of_bias, -0.5 * r.square() * weight * of_weight, of_weight, of_bias, None


class _Norm(torch.autograd.Function):
    """The native forward pass, whose backward pass is `_Slopes`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        result, mean, r = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)
        ctx.save_for_backward(x, weight, mean, r)
        ctx.eps = eps
        return result

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        slopes: Any = _Slopes.apply if torch.is_grad_enabled() else _slopes
        return *slopes(g, *ctx.saved_tensors, ctx.eps), None


class _Slopes(torch.autograd.Function):
    """Slopes of x, weight and bias, from the slope `g` of the result."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, r: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        slopes = _slopes(g, x, weight, mean, r, eps)
        ctx.save_for_backward(g, x, weight, mean, r, *slopes[1:])
        ctx.eps = eps
        return slopes

    @staticmethod
    def backward(ctx: Any, *uvs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        g, x, weight, mean, r, of_weight, of_bias = ctx.saved_tensors
        if torch.is_grad_enabled():
            reach = _once_more(uvs, g, x, weight, ctx.eps)
        else:
            reach = _written_out(uvs, g, x, weight, mean, r, of_weight, of_bias, ctx.eps)
        return *reach, None, None, None


def _slopes(g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, r: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    native = torch.ops.aten.native_batch_norm_backward
    return native(g, x, weight, None, None, mean, r, True, eps, [True, True, True])


def _written_out(
    uvs: tuple[Tensor, ...],
    g: Tensor,
    x: Tensor,
    w: Tensor,
    mean: Tensor,
    r: Tensor,
    of_weight: Tensor,
    of_bias: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """What reaches g, x and weight, by the formulas above; `of_weight` and `of_bias` are what `_slopes` gave for g."""
    u, v, s = uvs
    n = x.numel() // x.shape[1]
    to_g, of_weight_u, of_bias_u = _slopes(u, x, w, mean, r, eps)
    to_g.addcmul_(x, _along(v * r, x)).add_(_along(s - v * r * mean, x))
    # The means of g, g x^, u and u x^.
    g_, gx, u_, ux = of_bias / n, of_weight / n, of_bias_u / n, of_weight_u / n
    common = (u * g).mean(_places(x)) - u_ * g_ - ux * gx
    wr = w * r
    a = v - wr * ux
    on_u, on_x = -r * wr * gx, -r * r * (a * gx - wr * gx * ux + wr * common)
    shift = -on_x * mean - r * a * g_ - on_u * u_
    to_x = g * _along(r * a, x)
    to_x.addcmul_(u, _along(on_u, x)).addcmul_(x, _along(on_x, x)).add_(_along(shift, x))
    return to_g, to_x, n * r * common


def _once_more(uvs: tuple[Tensor, ...], g: Tensor, x: Tensor, w: Tensor, eps: float) -> tuple[Tensor, ...]:
    """The same with a graph, for derivatives of third order and more, by way of plain operators.

    The native double backward takes mean and deviation for constants in its own derivative.
    """
    # Aliases: where g was made of x, what reaches x through it is not asked for here.
    g, x, w = (v.view_as(v) if v.requires_grad else v.detach().requires_grad_() for v in (g, x, w))
    var, mean = torch.var_mean(x, _places(x), correction=0)
    bias = torch.zeros_like(w).requires_grad_()
    slopes = torch.autograd.grad(in_plain_operators(x, mean, var, w, bias, eps), (x, w, bias), g, create_graph=True)
    return torch.autograd.grad(slopes, (g, x, w), uvs, create_graph=True)


def _along(values: Tensor, x: Tensor) -> Tensor:
    """[features] as they are broadcast over [n, features, ...]."""
    return values.view(1, -1, *[1] * (x.dim() - 2))


def _places(x: Tensor) -> tuple[int, ...]:
    """All dimensions but that of the features."""
    return 0, *range(2, x.dim())
