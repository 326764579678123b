"""Normalisation written out with `var_mean`: of layers, and of calls of `torch.nn.functional` in anyone's `forward`.

`grad(vmap(grad(...)))` through the native batch, instance and layer norm returns a silently wrong meta-gradient on
torch 2.13 (relative error 0.61, 0.80 and 0.095 in float64). So `Model` turns layers of exactly these types into those
here, in place: names, hooks and places where a layer is shared stay as they are. What is left, subclasses with a
`forward` of their own, layers with hooks, functional calls, is caught by `Functional` while the network runs, and so is
weight norm, whose native second derivative is wrong even without a transform.

Batch statistics come from the real rows at hand, or from what `Params` has for this call of this layer; a layer in eval
mode keeps its running statistics. Outside of a transform batch, instance and layer norm are one function with
derivatives of its own (`core.batch_norm`), several times faster.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from innerloop.core import batch_norm
from innerloop.core.errors import InputError
from innerloop.core.gradient import transformed
from innerloop.core.types import Params

_RUNNING = ("running_mean", "running_var")
_BATCH = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_INSTANCE = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
FUNCTIONAL = "functional."
"""Prefix of the statistics of batch norms that are no layers of ours, counted through the whole network."""


class Statistics:
    """The batch statistics that a norm is given, or observes, while its network runs once.

    A norm that is called several times has as many pairs, named `running_mean`, `running_mean_2`, ...

    Args:
        prefix: Of their names in `Params`.
    """

    __slots__ = ("mask", "observed", "position", "prefix", "stored")

    def __init__(self, prefix: str):
        self.prefix = prefix
        self.mask: Tensor | None = None  # [n] bool, the rows that count
        self.stored: list[tuple[Tensor, Tensor]] = []
        self.observed: list[tuple[Tensor, Tensor]] | None = None
        self.position = 0

    def begin(self, tensors: Params, mask: Tensor | None) -> None:
        """Before the network runs: take what is stored for this norm out of `tensors`."""
        self.mask, self.position = mask, 0
        while (mean := tensors.pop(self._name(0, len(self.stored)), None)) is not None:
            self.stored.append((mean, tensors.pop(self._name(1, len(self.stored)))))

    def end(self) -> None:
        """After it: hold no tensor of a transform that is over."""
        self.mask, self.stored, self.observed = None, [], None

    def named(self, pairs: list[tuple[Tensor, Tensor]]) -> Params:
        """What was observed, as entries of `Params`."""
        return {self._name(part, i): pair[part] for i, pair in enumerate(pairs) for part in (0, 1)}

    @property
    def idle(self) -> bool:
        """Whether the rows at hand, all of them, are what counts, and nobody looks on."""
        return self.mask is None and self.observed is None and not self.stored

    def of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance for the next call, on [n, features, ...]."""
        if self.stored:
            # One pair for a norm called twice is what release 0.1.0 kept.
            pair = self.stored[min(self.position, len(self.stored) - 1)]
        else:
            pair = _over_rows(x, self.mask if self.mask is None else _per_row(self.mask, len(x)))
        self.position += 1
        if self.observed is not None:
            self.observed.append(pair)
        return pair

    def _name(self, part: int, call: int) -> str:
        return f"{self.prefix}{_RUNNING[part]}" if call == 0 else f"{self.prefix}{_RUNNING[part]}_{call + 1}"


class BatchNorm(nn.Module):
    """Batch normalisation of [n, features, ...], from `running_mean` and `running_var` where it has kept them."""

    running_mean: Tensor | None
    running_var: Tensor | None
    weight: Tensor | None
    bias: Tensor | None
    eps: float
    statistics: Statistics | None
    """None: it keeps its own."""
    watched: bool
    """Whether `Functional` sees what it calls."""

    def forward(self, x: Tensor) -> Tensor:
        statistics = self.statistics
        if statistics is None:
            assert self.running_mean is not None and self.running_var is not None
            return batch_norm.by_statistics(x, self.running_mean, self.running_var, self.weight, self.bias, self.eps)
        if statistics.idle and not self.watched and not transformed():
            return batch_norm.over_rows(x, self.weight, self.bias, self.eps)
        return batch_norm.by_statistics(x, *statistics.of(x), self.weight, self.bias, self.eps)


class InstanceNorm(nn.Module):
    """Instance normalisation of [n, features, ...], or of one [features, ...]."""

    running_mean: Tensor | None
    running_var: Tensor | None
    weight: Tensor | None
    bias: Tensor | None
    eps: float
    one: int
    """Dimensions of an input without rows."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x[None] if x.dim() == self.one else x
        result = _instance_norm(rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return result[0] if x.dim() == self.one else result


class LayerNorm(nn.Module):
    """Layer normalisation over the last dimensions."""

    weight: Tensor | None
    bias: Tensor | None
    eps: float
    normalized_shape: tuple[int, ...]

    def forward(self, x: Tensor) -> Tensor:
        return _layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


class GroupNorm(nn.GroupNorm):
    """Torch's own, which no transform can run on rows in channels last."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.clone(memory_format=torch.contiguous_format) if transformed() else input)


def convert(module: nn.Module) -> nn.Module:
    """The same module, its native norms turned into those written out here; see above."""
    names = {id(m): name for name, m in module.named_modules()}
    for m in list(module.modules()):
        if isinstance(m, nn.modules.batchnorm._NormBase) and m.training:
            m._buffers["num_batches_tracked"] = None  # counting would change a buffer at each call
        if _hooked(m):
            continue
        if type(m) in _BATCH:
            kept = not m.training and m.running_mean is not None
            _become(m, BatchNorm, kept)
            prefix = f"{names[id(m)]}." if names[id(m)] else ""
            vars(m).update(statistics=None if kept else Statistics(prefix), watched=False)
        elif type(m) in _INSTANCE:
            one: Any = m
            one = one._get_no_batch_dim()
            _become(m, InstanceNorm, not m.training and m.running_mean is not None)
            vars(m).update(one=one)
        elif type(m) is nn.LayerNorm:
            m.__class__ = LayerNorm  # pyright: ignore[reportAttributeAccessIssue]
        elif type(m) is nn.GroupNorm:
            m.__class__ = GroupNorm  # pyright: ignore[reportAttributeAccessIssue]
    return module


def _become(m: nn.Module, kind: type[nn.Module], kept: bool) -> None:
    m.__class__ = kind
    m._buffers.pop("num_batches_tracked", None)
    if not kept:
        m._buffers |= dict.fromkeys(_RUNNING)


def _hooked(m: nn.Module) -> bool:
    """Whether hooks run around it, which may expect a norm of torch's and its native call."""
    return bool(m._forward_hooks or m._forward_pre_hooks)


def forget(module: nn.Module, buffer: str) -> bool:
    """Let a batch norm of ours that kept its running statistics use those of a task; whether it was one."""
    place, _, name = buffer.rpartition(".")
    m = module.get_submodule(place)
    if name not in _RUNNING or not isinstance(m, BatchNorm | InstanceNorm):
        return False
    m._buffers |= dict.fromkeys(_RUNNING)
    if isinstance(m, BatchNorm):
        m.statistics = Statistics(f"{place}." if place else "")
    return True


class Functional(TorchFunctionMode):
    """Inside, functional norms of this thread are those written out here.

    It sees every function of torch that Python calls, which costs microseconds each: entered for networks that need it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.statistics = Statistics(FUNCTIONAL)
        self.calls = 0
        """Norms that it caught."""
        self.by_rows: Callable[[bool], bool] | None = None
        """From whether a batch norm is by its rows to whether it shall be, for those who compare modes."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        written = _WRITTEN_OUT.get(func)
        if written is None:
            return func(*args, **(kwargs or {}))
        self.calls += 1
        return written(self, *args, **(kwargs or {}))


def _f_batch_norm(
    mode: Functional,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Running statistics are not moved: a task's rows must leave no trace in the network."""
    rows = training or running_mean is None or running_var is None
    if rows if mode.by_rows is None else mode.by_rows(rows):
        running_mean, running_var = mode.statistics.of(input)
    assert running_mean is not None and running_var is not None
    return batch_norm.by_statistics(input, running_mean, running_var, weight, bias, eps)


def _torch_batch_norm(
    mode: Functional,
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Tensor:
    return _f_batch_norm(mode, input, running_mean, running_var, weight, bias, training, momentum, eps)


def _torch_instance_norm(
    mode: Functional,
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Tensor:
    return _instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def _instance_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool | None = None,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Instance normalisation of [n, features, ...]; running statistics, where they are used, are not moved."""
    if use_input_stats is None:
        use_input_stats = running_mean is None
    if not use_input_stats and running_mean is not None and running_var is not None:
        return batch_norm.by_statistics(x, running_mean, running_var, weight, bias, eps)
    if batch_norm.written_out(x, weight, bias):
        rows, features = x.shape[:2]
        weight, bias = (v if v is None else v.repeat(rows) for v in (weight, bias))
        # Every feature of every row as one of a single row.
        return batch_norm.over_rows(x.reshape(1, rows * features, *x.shape[2:]), weight, bias, eps).reshape(x.shape)
    var, mean = torch.var_mean(x, tuple(range(2, x.dim())), correction=0, keepdim=True)
    x = (x - mean) * torch.rsqrt(var + eps)
    shape = (1, -1, *[1] * (x.dim() - 2))
    x = x if weight is None else x * weight.view(shape)
    return x if bias is None else x + bias.view(shape)


def _layer_norm(
    x: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    dims = tuple(range(-(1 if isinstance(normalized_shape, int) else len(normalized_shape)), 0))
    if batch_norm.written_out(x, weight, bias):
        # Every place as a feature of a single row.
        places = x.reshape(1, x.shape[: -len(dims)].numel(), -1)
        x = batch_norm.over_rows(places, None, None, eps).reshape(x.shape)
    else:
        var, mean = torch.var_mean(x, dims, correction=0, keepdim=True)
        x = (x - mean) * torch.rsqrt(var + eps)
    if weight is not None:
        x = x * weight
    return x if bias is None else x + bias


def _modeless(f: Callable[..., Tensor], instance: bool = False) -> Callable[..., Tensor]:
    """With the arguments of a function of torch, whatever their names."""

    @functools.wraps(f)
    def call(mode: Functional, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if instance and "use_input_stats" not in kwargs and len(args) < 5:
            kwargs["use_input_stats"] = True  # the default of F.instance_norm
        return f(input, *args, **kwargs)

    return call


def _weight_norm(mode: Functional, v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """The native one has a wrong second derivative, also without a transform."""
    dims = [d for d in range(v.dim()) if dim == -1 or d != dim % v.dim()]
    return v * (g / v.square().sum(dims, keepdim=True).sqrt())


_WRITTEN_OUT: dict[Any, Callable[..., Tensor]] = {
    F.batch_norm: _f_batch_norm,
    torch.batch_norm: _torch_batch_norm,
    F.layer_norm: _modeless(_layer_norm),
    torch.layer_norm: _modeless(_layer_norm),
    F.instance_norm: _modeless(_instance_norm, instance=True),
    torch.instance_norm: _torch_instance_norm,
    torch._weight_norm: _weight_norm,  # pyright: ignore[reportPrivateImportUsage]
}


def _per_row(mask: Tensor, rows: int) -> Tensor:
    """[rows] of [n]: a network that folds a second axis into its rows makes several of each."""
    if rows % len(mask):
        raise InputError(f"a batch norm sees {rows} rows where the task has {len(mask)}: which are padding is unclear")
    return mask if rows == len(mask) else mask.repeat_interleave(rows // len(mask))


def _over_rows(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Biased mean and variance per feature over the rows that count."""
    dims = (0, *range(2, x.dim()))
    if mask is None:
        # Three digits of bfloat16 are too few for what every row is moved by.
        var, mean = torch.var_mean(x.float() if x.dtype == torch.bfloat16 else x, dims, correction=0)
        return mean, var
    shape = (-1, *[1] * (x.dim() - 1))
    rows = mask.to(x.dtype).view(shape)
    per_row = x[0].numel() // x.shape[1]
    count = rows.sum().clamp_min(1) * per_row
    mean = (x * rows).sum(dims) / count
    centred = (x - mean.view(1, -1, *[1] * (x.dim() - 2))) * rows
    return mean, centred.square().sum(dims) / count
