"""Copies of modules on the graph, and steps that keep it: what learn2learn calls `learn2learn.utils`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MethodType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from innerloop.core.errors import InputError

M = TypeVar("M", bound=nn.Module)


def clone_parameters(param_list: Iterable[Tensor]) -> list[Tensor]:
    """Copies of tensors, on the graph."""
    return [p.clone() for p in param_list]


def clone_named_parameters(param_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of tensors by their names, on the graph."""
    return {k: p.clone() for k, p in param_dict.items()}


def clone_module(module: M, memo: dict[int, Any] | None = None) -> M:
    """A copy of a module whose parameters are copies on the graph: gradients pass through them to the original's.

    As in learn2learn, buffers that need no gradient are the same tensors, so that running statistics of batch norms,
    which are changed in place, are those of the original, and a buffer that is assigned anew is the copy's alone.
    Beyond it, methods that a module keeps as attributes are bound to the copy.

    Args:
        module: Anything but compiled modules.
        memo: Copies that were made before, by the identity of the original.

    Returns:
        The copy. What is in two places of the module is in two places of the copy.

    Raises:
        InputError: The module is compiled, so that copies would go on with the original's weights.
    """
    memo = {} if memo is None else memo
    copy = _copy(module, memo)
    for m in copy.modules():
        for name, value in vars(m).items():
            if isinstance(value, MethodType) and id(value.__self__) in memo:
                vars(m)[name] = MethodType(value.__func__, memo[id(value.__self__)])
        _refresh(m)
    return copy


def update_module(module: M, updates: Sequence[Tensor | None] | None = None, memo: Any = None) -> M:
    """Add an update to every parameter, on the graph: `p + update` takes the place of `p`.

    Args:
        module: A module, usually of `clone_module`; it is changed, its tensors are not.
        updates: One for each of `module.parameters()`, None for those that stay; None: the attributes `update` of
            parameters and buffers, which are cleared.
        memo: Not needed here, and only there for learn2learn's sake.

    Returns:
        The module.

    Raises:
        InputError: There are more or fewer updates than parameters.
    """
    if updates is None:
        moved = {id(t): t + u for t in _tensors(module) if (u := getattr(t, "update", None)) is not None}
        for t in _tensors(module):
            if hasattr(t, "update"):
                t.update = None  # pyright: ignore[reportAttributeAccessIssue]
    else:
        parameters = list(module.parameters())
        if len(updates) != len(parameters):
            raise InputError(
                f"the module has {len(parameters)} parameters, got {len(updates)} updates: give one for each of "
                "module.parameters(), None for those that stay"
            )
        moved = {id(p): p + u for p, u in zip(parameters, updates, strict=True) if u is not None}
    return replaced(module, moved)


def replaced(module: M, moved: Mapping[int, Tensor]) -> M:
    """The module with other tensors in the places of those whose identities are named."""
    for m in module.modules():
        for tensors in (m._parameters, m._buffers):
            for name, t in tensors.items():
                if id(t) in moved:
                    tensors[name] = moved[id(t)]  # pyright: ignore[reportArgumentType]
        _refresh(m)
    return module


def detach_module(module: nn.Module, keep_requires_grad: bool = False) -> None:
    """Cut a copy off the graph, in place.

    Args:
        module: A module of `clone_module`.
        keep_requires_grad: Whether what needed a gradient needs one again, as a leaf.
    """
    for t in _tensors(module):
        needed = t.requires_grad
        t.detach_()
        if keep_requires_grad and needed:
            t.requires_grad_()


def magic_box(x: Any) -> Any:
    """1 whose gradient is that of x: DiCE, Foerster et al., ICML 2018, https://arxiv.org/abs/1802.05098."""
    return torch.exp(x - x.detach()) if isinstance(x, Tensor) else x


def accuracy(preds: Tensor, targets: Tensor) -> Tensor:
    """The share of rows whose largest output is at their target, from 0 to 1."""
    return (preds.argmax(dim=1).long() == targets.long()).sum().float() / preds.size(0)


def _copy(module: M, memo: dict[int, Any]) -> M:
    if id(module) in memo:
        return memo[id(module)]
    if isinstance(module, torch.jit.ScriptModule) or hasattr(module, "_orig_mod"):
        raise InputError(
            f"{type(module).__name__} is compiled, and its copies would compute with its own weights: give the module "
            "itself, without torch.compile or TorchScript"
        )
    copy = module.__new__(type(module))
    memo[id(module)] = copy
    vars(copy).update(vars(module))
    state = vars(copy)
    state["_parameters"] = {k: None if p is None else _cloned(p, memo) for k, p in module._parameters.items()}
    state["_buffers"] = {k: _cloned(b, memo) if _needed(b) else b for k, b in module._buffers.items()}
    state["_modules"] = {k: None if m is None else _copy(m, memo) for k, m in module._modules.items()}
    return copy


def _cloned(t: Any, memo: dict[int, Any]) -> Tensor:
    if id(t) not in memo:
        memo[id(t)] = t.clone()
    return memo[id(t)]


def _needed(buffer: Tensor | None) -> bool:
    return buffer is not None and buffer.requires_grad


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _refresh(module: nn.Module) -> None:
    """Recurrent layers keep a list of their weights beside the names."""
    if isinstance(module, nn.RNNBase):
        module._flat_weights = [getattr(module, name, None) for name in module._flat_weights_names]
