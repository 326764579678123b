"""Normalisation layers written out with `var_mean`.

`grad(vmap(grad(...)))` through the native batch, instance and layer norm returns a silently wrong meta-gradient on
torch 2.13 (relative error 0.61, 0.80 and 0.095 in float64), so `Model` replaces them by these, which have the same
parameter names. Batch statistics come from the real rows at hand, or from `running_mean` and `running_var` where
`Params` has them. Outside of a transform the native batch norm is right, and several times faster.
"""

import torch
from torch import Tensor, nn

from innerloop.core.gradient import transformed

STATISTICS = ("running_mean", "running_var")


class BatchNorm(nn.Module):
    """Batch normalisation of [n, features, ...]; everything that is not a parameter arrives with the call."""

    mask: Tensor | None  # [n] bool, the rows that count
    running_mean: Tensor | None  # [features]; None: the statistics of the rows at hand
    running_var: Tensor | None  # [features], biased

    def __init__(self, native: nn.modules.batchnorm._BatchNorm):
        super().__init__()
        self.eps = native.eps
        self.weight, self.bias = native.weight, native.bias
        for name in ("mask", *STATISTICS):
            self.register_buffer(name, None, persistent=False)
        self.observed: dict[str, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.running_mean, self.running_var
        if mean is None or var is None:
            if self.mask is None and self.observed is None and not transformed():
                return torch.batch_norm(x, self.weight, self.bias, None, None, True, 0.0, self.eps, False)
            mean, var = _statistics(x, self.mask)
        if self.observed is not None:
            self.observed.update(running_mean=mean, running_var=var)
        scale = torch.rsqrt(var + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        shift = -mean * scale
        if self.bias is not None:
            shift = shift + self.bias
        shape = (1, -1, *[1] * (x.dim() - 2))
        return torch.addcmul(shift.view(shape), x, scale.view(shape))


class InstanceNorm(nn.Module):
    """Instance normalisation of [n, features, ...]."""

    def __init__(self, native: nn.modules.instancenorm._InstanceNorm):
        super().__init__()
        self.eps = native.eps
        self.weight, self.bias = native.weight, native.bias

    def forward(self, x: Tensor) -> Tensor:
        var, mean = torch.var_mean(x, tuple(range(2, x.dim())), correction=0, keepdim=True)
        x = (x - mean) * torch.rsqrt(var + self.eps)
        shape = (1, -1, *[1] * (x.dim() - 2))
        return x if self.weight is None else x * self.weight.view(shape) + self.bias.view(shape)


class LayerNorm(nn.Module):
    """Layer normalisation over the last dimensions."""

    def __init__(self, native: nn.LayerNorm):
        super().__init__()
        self.dims = tuple(range(-len(native.normalized_shape), 0))
        self.eps = native.eps
        self.weight, self.bias = native.weight, native.bias

    def forward(self, x: Tensor) -> Tensor:
        var, mean = torch.var_mean(x, self.dims, correction=0, keepdim=True)
        x = (x - mean) * torch.rsqrt(var + self.eps)
        if self.weight is not None:
            x = x * self.weight
        return x if self.bias is None else x + self.bias


def replace(module: nn.Module) -> nn.Module:
    """The module with every native norm, itself included, exchanged for the one written out here."""
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return BatchNorm(module)
    if isinstance(module, nn.modules.instancenorm._InstanceNorm):
        return InstanceNorm(module)
    if isinstance(module, nn.LayerNorm):
        return LayerNorm(module)
    for name, child in module.named_children():
        setattr(module, name, replace(child))
    return module


def _statistics(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Biased mean and variance per feature over the rows that count."""
    dims = (0, *range(2, x.dim()))
    if mask is None:
        var, mean = torch.var_mean(x, dims, correction=0)
        return mean, var
    shape = (-1, *[1] * (x.dim() - 1))
    rows = mask.to(x.dtype).view(shape)
    per_row = x[0].numel() // x.shape[1]
    count = rows.sum().clamp_min(1) * per_row
    mean = (x * rows).sum(dims) / count
    centred = (x - mean.view(1, -1, *[1] * (x.dim() - 2))) * rows
    return mean, centred.square().sum(dims) / count
