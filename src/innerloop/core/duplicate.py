"""Copies of modules, also of those that torch itself refuses to copy."""

import copy
from typing import Any

from torch import Tensor, nn

from innerloop.core.errors import InputError


def duplicate(module: nn.Module, shared: bool = False) -> nn.Module:
    """A deep copy, also of layers whose weight is computed and hangs on a graph.

    Args:
        module: What is copied.
        shared: Parameters and buffers stay the same tensors.

    Raises:
        InputError: It cannot be copied.
    """
    memo: dict[int, Any] = {}
    for m in module.modules():
        computed = [v for v in vars(m).values() if isinstance(v, Tensor) and not v.is_leaf]
        memo |= {id(v): v.detach().clone() for v in computed}
    if shared:
        memo |= {id(v): v for v in (*module.parameters(), *module.buffers())}
    try:
        return copy.deepcopy(module, memo)
    except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{type(module).__name__} cannot be copied ({line}): give a factory without it") from error
