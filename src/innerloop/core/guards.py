"""Layers and kernels that go wrong when a training step is differentiated: routed around, or refused with a reason."""

import contextlib
import re
import threading
import warnings

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from innerloop.core.errors import InputError

_UNPLANNED = "so its noise would depend on how the tasks are scheduled"
_WRAPPERS = ("DataParallel", "DistributedDataParallel", "FullyShardedDataParallel")
_SKIPS = ("DropPath", "StochasticDepth", "DropBlock2d", "DropBlock3d")
"""Layers of timm and torchvision, which are not imported here."""
_RATES = ("p", "dropout", "drop_prob")


def prepare(module: nn.Module) -> nn.Module:
    """The module as `Model` can run it.

    What was wrapped by `torch.compile` is taken out of its wrapper, which has no double backward; attention loses its
    inference path, whose fused kernels have none either.

    Raises:
        InputError: A layer has no sound replacement; the message names it and says what to do.
    """
    module = _uncompiled(refuse_gradient_hooks(module))
    if module_hooks := _global_backward_hooks():
        raise InputError(
            f"torch.nn.modules.module has {module_hooks}, which would run by some plans and not by others: remove them "
            "before the network is built"
        )
    for name, m in module.named_modules():
        reason = _reason(m) or _hooked(m)
        if reason is not None:
            raise InputError(f"'{name}' is {type(m).__name__}{reason}" if name else f"{type(m).__name__}{reason}")
        if isinstance(m, nn.MultiheadAttention | nn.TransformerEncoderLayer | nn.TransformerEncoder):
            m.training = True  # without dropout the two modes differ by the fused path only
    return module


def refuse_gradient_hooks(module: nn.Module) -> nn.Module:
    """The module; a copy of it has no hooks of its parameters any more, so it is asked before it is copied.

    Raises:
        InputError: A parameter has one.
    """
    for name, p in module.named_parameters():
        if p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None):
            raise InputError(
                f"the parameter '{name}' of {type(module).__name__} has a gradient hook, which stays behind when fast "
                "weights take its place. Remove it, or change the gradient by an autograd.Function in forward"
            )
    return module


class _MathAttention(contextlib.AbstractContextManager[None]):
    """Inside, `scaled_dot_product_attention` uses ordinary operations: the fused kernels have no double backward.

    The choice of kernels is global to the process, and torch's own `sdpa_kernel` restores it while another thread is
    still inside. So the first thread to enter makes the change and the last to leave undoes it.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._before = (True, True, True, True)

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = _chosen()
                _choose(False, False, False, True)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                _choose(*self._before)


math_attention = _MathAttention()
"""Entered by `Model.apply` whenever its result may be differentiated; may be nested, and shared by threads."""


def explain(error: BaseException) -> str | None:
    """One line for a cryptic error of torch about transforms or second derivatives; None for any other error."""
    text = str(error)
    for pattern, line in _EXPLANATIONS:
        match = re.search(pattern, text)
        if match:
            return line.format(*match.groups())
    if type(error).__module__.startswith("torch._dynamo"):
        return f"torch.compile cannot trace this learner ({text.strip().partition(chr(10))[0]}): use another plan"
    return None


def _uncompiled(module: nn.Module) -> nn.Module:
    inside = getattr(module, "_orig_mod", None)
    if isinstance(inside, nn.Module):
        warnings.warn(
            "the network was wrapped by torch.compile, which has no double backward: the module inside is used as it "
            "is. Compile the whole meta-step instead",
            stacklevel=2,
        )
        return _uncompiled(inside)
    if not isinstance(module, torch.jit.ScriptModule):
        module._compiled_call_impl = None  # what `module.compile()` leaves behind
        for name, child in module.named_children():
            setattr(module, name, _uncompiled(child))
    return module


def _reason(m: nn.Module) -> str | None:
    """Why a module cannot be run, as the end of a sentence that begins with its type."""
    if isinstance(m, nn.modules.dropout._DropoutNd | nn.MultiheadAttention) or type(m).__name__ in _SKIPS:
        rate = max(float(getattr(m, name, None) or 0) for name in _RATES)
        if rate > 0:
            return f" with rate {rate:g}: it draws from torch's generator, {_UNPLANNED}. Set its rate to 0"
    if isinstance(m, nn.RReLU):
        return f": it draws from torch's generator, {_UNPLANNED}. Use nn.LeakyReLU"
    if isinstance(m, nn.FractionalMaxPool2d | nn.FractionalMaxPool3d):
        return f": it draws from torch's generator, {_UNPLANNED}. Use nn.AdaptiveMaxPool2d"
    if isinstance(m, nn.RNNBase | nn.RNNCellBase):
        return (
            ": native recurrent cells have no double backward, in cuDNN never and on CPU not under vmap. Write the "
            "cell out from nn.Linear, torch.sigmoid and torch.tanh"
        )
    if isinstance(m, nn.Embedding | nn.EmbeddingBag) and m.max_norm is not None:
        return " with max_norm, which changes its weight in forward. Leave it out, and normalise what forward looks up"
    if isinstance(m, torch.jit.ScriptModule):
        return ": its tensors cannot be exchanged for fast weights. Give the nn.Module that it was made from"
    if type(m).__name__ in _WRAPPERS:
        return ": it spreads one call over devices, where the engine spreads tasks. Give the module inside (`.module`)"
    if any(isinstance(p, UninitializedParameter) for p in m._parameters.values()):
        return ": its size is not known before the first batch. Give the sizes, or call it once where it is built"
    if "forward" in vars(m):
        return (
            " with its `forward` replaced on the object, which would go on using the weights of that object. Define "
            "`forward` in a class"
        )
    return None


def _hooked(m: nn.Module) -> str | None:
    """Likewise, for hooks that would not run: those of forward passes do, and are compared with the module's."""
    if m._backward_hooks or m._backward_pre_hooks:
        return (
            " with a backward hook, which transforms of torch.func do not run. Remove it, or change the gradient by an "
            "autograd.Function in forward"
        )
    hooks = (*m._state_dict_hooks.values(), *m._state_dict_pre_hooks.values())
    if any(not (getattr(hook, "__module__", None) or "torch").startswith("torch.") for hook in hooks):
        return (
            " with a state-dict hook, which would not run: parameters are kept by their names in the module. Remove it"
        )
    return None


def _global_backward_hooks() -> str:
    kinds = ("_global_backward_hooks", "_global_backward_pre_hooks")
    return ", ".join(kind.strip("_").replace("_", " ") for kind in kinds if getattr(nn.modules.module, kind))


def _chosen() -> tuple[bool, bool, bool, bool]:
    cuda = torch.backends.cuda
    return cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.cudnn_sdp_enabled(), cuda.math_sdp_enabled()


def _choose(flash: bool, efficient: bool, cudnn: bool, written_out: bool) -> None:
    torch.backends.cuda.enable_flash_sdp(flash)
    torch.backends.cuda.enable_mem_efficient_sdp(efficient)
    torch.backends.cuda.enable_cudnn_sdp(cudnn)
    torch.backends.cuda.enable_math_sdp(written_out)


_ELSEWHERE = "Use the plan 'loop' or 'threads'"
_EXPLANATIONS = (
    (
        r"attempted to apply meta conversion to view functorch tensor",
        "torch cannot trace the gradient steps that its answers take",
    ),
    (
        r"vmap: It looks like you're .*(?:calling .item|data-dependent control)|Cannot access data pointer of Tensor",
        "vmap cannot run code that looks at a value (`if tensor`, float(), .item(), .tolist()). "
        f"{_ELSEWHERE}, or write it with torch.where",
    ),
    (
        r"vmap: We do not support batching operators that can \w+ dynamic shape",
        "vmap cannot run operations whose result has a size that depends on values (boolean indexing, nonzero). "
        f"{_ELSEWHERE}, or multiply by a mask",
    ),
    (
        r"vmap: called random operation",
        "the learner or its network draws from torch's generator (dropout, torch.rand), and its noise would depend on "
        "how the tasks are scheduled: remove it, or draw by innerloop.core.random from the support's key",
    ),
    (
        r"vmap: inplace arithmetic",
        f"vmap cannot change a tensor in place by values of one task. {_ELSEWHERE}, or make a new tensor",
    ),
    (
        r"Batching rule not implemented for (\S+?)[;,. ]|tried to vmap over (\w+), but it does not have vmap support",
        f"vmap cannot run an operation of this network. {_ELSEWHERE}",
    ),
    (
        r"it must override the setup_context staticmethod",
        "an autograd.Function of this network is written for plain autograd. "
        f"{_ELSEWHERE}, or give it setup_context and generate_vmap_rule = True",
    ),
    (
        r"derivative for (\S+) is not implemented",
        "{} has no second derivative: use a first-order learner, or write that part of the network with ordinary "
        "operations",
    ),
    (
        r"torch.compile with aot_autograd does not currently support double backward",
        "a part of this network is compiled by torch.compile, which has no double backward: leave it uncompiled and "
        "compile the whole meta-step instead",
    ),
)
