"""Whether a wrapped network computes what its module computes, on the first rows that it sees."""

import contextlib
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import (  # pyright: ignore[reportMissingModuleSource]
    get_unwrapped,
    is_batchedtensor,
    is_functorch_wrapped_tensor,
    maybe_get_bdim,
)
from torch._subclasses.fake_tensor import FakeTensor

from innerloop.core import norm
from innerloop.core.duplicate import duplicate
from innerloop.core.errors import InputError

TOLERANCE = 1e-5
"""Largest difference, as a share of the largest output, in float64."""
_ROUNDED = 1e-3
"""Likewise for a network that runs in its own dtype only."""
_ROWS = 16
_ELSEWHERE = (
    "{} cannot be wrapped: {}. A part of it is reached by another way than its registered modules and parameters "
    "(a closure, a hook, an unregistered module): call those in forward"
)


def values(x: Any) -> Any:
    """Inputs as plain tensors, out of a transform: of one task, or of its shape where it is only traced."""
    return {k: _plain(v) for k, v in x.items()} if isinstance(x, dict) else _plain(x)


def _plain(x: Tensor) -> Tensor:
    shape, dtype, device = x.shape, x.dtype, x.device
    places: list[int] = []  # of the tasks' axis in what is inside each wrapper
    while is_functorch_wrapped_tensor(x):
        places += [maybe_get_bdim(x)] if is_batchedtensor(x) else []
        x = get_unwrapped(x)
    if not isinstance(x, FakeTensor) and type(x) in (Tensor, nn.Parameter):
        for place in reversed(places):
            x = x.select(place, 0)
    else:
        generator = torch.Generator().manual_seed(0)
        # Zeros are valid for whatever counts or indexes.
        x = torch.zeros(shape, dtype=dtype) if not dtype.is_floating_point else torch.empty(shape, dtype=dtype)
        x = x.normal_(generator=generator).to(device) if dtype.is_floating_point else x.to(device)
    return x.detach()[:_ROWS]


def check(original: nn.Module, skeleton: nn.Module, x: Any) -> bool | None:
    """Compare on a few rows, with parameters that were moved.

    Args:
        original: As it was built.
        skeleton: What `norm.convert` made of it.
        x: Rows.

    Returns:
        Whether functional norms must be caught; None where the module itself cannot run on these rows.

    Raises:
        InputError: The outputs differ, or the network keeps state: the message says what to do.
    """
    rows = next(iter(x.values())) if isinstance(x, dict) else x
    for dtype, tolerance in ((torch.float64, TOLERANCE), (None, _ROUNDED)):
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            try:
                module, ours = (_prepared(m, dtype, rows.device) for m in (original, skeleton))
                _as_loaded(module, ours)
                inputs = {k: _cast(v, dtype) for k, v in x.items()} if isinstance(x, dict) else _cast(x, dtype)
                expected = _run(module, inputs)
            except Exception:
                continue
            return _judged(module, ours, inputs, expected, tolerance)
    return None


def _judged(module: nn.Module, ours: nn.Module, x: Any, expected: Any, tolerance: float) -> bool:
    name = type(module).__name__
    if not isinstance(expected, Tensor):
        raise InputError(
            f"{name} returns a {type(expected).__name__}: a network must return one tensor [n, ...]. Wrap it in a "
            "module whose forward returns that"
        )
    before = {k: b.clone() for k, b in (*ours.named_buffers(), *ours.named_parameters())}
    for m in ours.modules():
        if isinstance(m, norm.BatchNorm):
            m.watched = True
    catching, by_rows = norm.Functional(), []
    catching.by_rows = lambda rows: by_rows.append(rows) or rows
    first = _run(ours, x, catching)
    catching.by_rows = None
    functional = catching.calls > 0
    changed = [k for k, b in ours.named_buffers() if k not in before or not torch.equal(b, before[k])]
    if changed:
        raise InputError(
            f"{name} changes its buffer '{changed[0]}' in forward, so that an answer depends on what was asked before: "
            "call .eval() on that part where it is built, or keep no state"
        )
    changed = [k for k, p in ours.named_parameters() if not torch.equal(p, before[k])]
    if changed:
        raise InputError(
            f"{name} changes its parameter '{changed[0]}' in forward, where it belongs to whoever trains: make a new "
            "tensor there instead"
        )
    with torch.enable_grad():  # no parameter that is exchanged asks for a gradient here
        again = _run(ours.requires_grad_(False), x, catching)
    if isinstance(again, Tensor) and again.requires_grad:
        raise InputError(_ELSEWHERE.format(name, "it computes with parameters that are not registered in it"))
    if _apart(again, first) > tolerance:
        raise InputError(
            f"{name} answers the same rows differently when it is asked again: it keeps state, or draws from torch's "
            "generator, so that its noise would depend on how the tasks are scheduled. Remove it"
        )
    gap = _apart(first, expected)
    if gap <= tolerance and any(m.training for m in ours.modules()):
        _judge_modes(name, ours, x, first, by_rows, tolerance)
    if gap > tolerance:
        hooks = [k or name for k, m in ours.named_modules() if m._forward_hooks or m._forward_pre_hooks]
        where = f" (hooks: {', '.join(hooks[:3])})" if hooks else ""
        raise InputError(_ELSEWHERE.format(name, f"on the same rows it is {gap:.1e} away from the module{where}"))
    return functional


def _judge_modes(name: str, ours: nn.Module, x: Any, trained: Tensor, by_rows: list[bool], tolerance: float) -> None:
    """Refuse what answers otherwise in eval mode, norms apart: training and testing know no modes here."""
    kept = nn.modules.batchnorm._NormBase | nn.MultiheadAttention | nn.TransformerEncoderLayer | nn.TransformerEncoder
    for m in ours.modules():
        m.training = m.training and isinstance(m, kept)
    catching, following = norm.Functional(), iter(by_rows)
    catching.by_rows = lambda rows: next(following, rows)
    gap = _apart(_run(ours, x, catching), trained)
    if gap > tolerance:
        raise InputError(
            f"{name} is in train mode and answers otherwise in eval mode, {gap:.1e} away, norms apart: it would be "
            "tested as it is trained. Call .eval() where it is built if that mode is meant, or let forward not look at "
            "self.training"
        )


def _run(module: nn.Module, x: Any, catching: norm.Functional | None = None) -> Any:
    with catching or contextlib.nullcontext():
        return module(**x) if isinstance(x, dict) else module(x)


def _prepared(module: nn.Module, dtype: torch.dtype | None, device: torch.device) -> nn.Module:
    """A copy whose parameters are moved a little, so that one that is not reached shows."""
    module = duplicate(module).to(device)
    module = module if dtype is None else module.to(dtype)
    generator = torch.Generator().manual_seed(0)
    for p in module.parameters():
        if p.is_floating_point():
            noise = torch.rand(p.shape, generator=generator, dtype=torch.float64).to(p)
            p.data = p.data * (1 + 0.1 * noise) + 0.01 * noise
    return module


def _as_loaded(module: nn.Module, ours: nn.Module) -> None:
    """Let the module have the buffers that were loaded into ours, and norm by its rows where ours does."""
    buffers = dict(ours.named_buffers())
    for name, b in module.named_buffers():
        if name in buffers:
            b.copy_(buffers[name])
    for name, m in ours.named_modules():
        if isinstance(m, norm.BatchNorm | norm.InstanceNorm) and m.running_mean is None:
            module.get_submodule(name).training = True


def _cast(x: Tensor, dtype: torch.dtype | None) -> Tensor:
    return x.to(dtype) if dtype is not None and x.is_floating_point() else x


def _apart(a: Any, b: Tensor) -> float:
    if not isinstance(a, Tensor) or a.shape != b.shape:
        return float("inf")
    if torch.allclose(a, b, rtol=0, atol=0, equal_nan=True):
        return 0.0
    size = b.abs().max().clamp_min(1e-12) if b.numel() else torch.tensor(1.0)
    gap = ((a - b).abs().max() / size).item()
    return gap if gap == gap else float("inf")
