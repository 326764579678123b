"""Copies of modules on the graph, and steps that keep it: what learn2learn calls `learn2learn.utils`."""

from collections.abc import Iterable, Mapping, Sequence
from types import MethodType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from innerloop.core.errors import InputError

M = TypeVar("M", bound=nn.Module)
Spots = dict[int, tuple[Tensor, list[tuple[nn.Module, str]]]]
"""See `spots_of`."""


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
    bound: list[tuple[dict[str, Any], str, MethodType]] = []
    copy = _copy(module, memo, bound)
    for state, name, method in bound:
        if id(method.__self__) in memo:
            state[name] = MethodType(method.__func__, memo[id(method.__self__)])
    return copy


def update_module(module: M, updates: Sequence[Tensor | None] | None = None, memo: Any = None) -> M:
    """Add an update to every parameter, on the graph: `p + update` takes the place of `p`.

    Args:
        module: A module, usually of `clone_module`; it is changed, its tensors are not.
        updates: One for each of `module.parameters()`, None for those that stay; None: the attributes `update` of
            parameters, which are cleared.
        memo: Not needed here, and only there for learn2learn's sake.

    Returns:
        The module.

    Raises:
        InputError: There are more or fewer updates than parameters.
    """
    spots = spots_of(module)
    if updates is None:
        updates = [getattr(p, "update", None) for p, _ in spots.values()]
        for p, _ in spots.values():
            if hasattr(p, "update"):
                p.update = None  # pyright: ignore[reportAttributeAccessIssue]
    if len(updates) != len(spots):
        raise InputError(
            f"the module has {len(spots)} parameters, got {len(updates)} updates: give one for each of "
            "module.parameters(), None for those that stay"
        )
    put(spots, [None if u is None else p + u for (p, _), u in zip(spots.values(), updates, strict=True)])
    return module


def spots_of(module: nn.Module, spots: Spots | None = None) -> Spots:
    """Every parameter of a module once, in the order of `module.parameters()`, and everywhere that it is.

    Args:
        module: Where to look.
        spots: What was seen before, which grows.

    Returns:
        By identity: the tensor, and pairs of a module and a name in its `_parameters`.
    """
    spots = {} if spots is None else spots
    for name, p in module._parameters.items():
        if p is not None:
            spots.setdefault(id(p), (p, []))[1].append((module, name))
    for child in module._modules.values():
        if child is not None:
            spots_of(child, spots)
    return spots


def put(spots: Spots, tensors: Iterable[Tensor | None]) -> None:
    """Put tensors where parameters are; None leaves what is there."""
    for (_, where), t in zip(spots.values(), tensors, strict=True):
        if t is not None:
            for module, name in where:
                module._parameters[name] = t  # pyright: ignore[reportArgumentType]
                if isinstance(module, nn.RNNBase):
                    _refresh(module)


def detach_module(module: nn.Module, keep_requires_grad: bool = False) -> None:
    """Cut a copy off the graph, in place.

    Args:
        module: A module of `clone_module`.
        keep_requires_grad: Whether what needed a gradient needs one again, as a leaf.
    """
    for t in (*module.parameters(), *module.buffers()):
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


def _copy(module: M, memo: dict[int, Any], bound: list[tuple[dict[str, Any], str, MethodType]]) -> M:
    if id(module) in memo:
        return memo[id(module)]
    state = dict(vars(module))
    if isinstance(module, torch.jit.ScriptModule) or "_orig_mod" in state["_modules"]:
        raise InputError(
            f"{type(module).__name__} is compiled, and its copies would compute with its own weights: give the module "
            "itself, without torch.compile or TorchScript"
        )
    copy = module.__new__(type(module))
    memo[id(module)] = copy
    bound += [(state, k, v) for k, v in state.items() if type(v) is MethodType]
    state["_parameters"] = {k: None if p is None else _cloned(p, memo) for k, p in module._parameters.items()}
    state["_buffers"] = {
        k: _cloned(b, memo) if b is not None and b.requires_grad else b for k, b in module._buffers.items()
    }
    state["_modules"] = {k: None if m is None else _copy(m, memo, bound) for k, m in module._modules.items()}
    object.__setattr__(copy, "__dict__", state)
    if isinstance(copy, nn.RNNBase):
        _refresh(copy)
    return copy


def _cloned(t: Tensor, memo: dict[int, Any]) -> Tensor:
    if id(t) not in memo:
        memo[id(t)] = t.clone()
    return memo[id(t)]


def _refresh(module: nn.RNNBase) -> None:
    """Recurrent layers keep a list of their weights beside the names."""
    module._flat_weights = [getattr(module, name, None) for name in module._flat_weights_names]
