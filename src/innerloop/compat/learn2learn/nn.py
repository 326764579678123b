"""Small modules of `learn2learn.nn`."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from innerloop.compat.learn2learn.absent import absent

__all__ = ["Flatten", "Lambda", "Scale", "freeze", "unfreeze"]
M = TypeVar("M", bound=nn.Module)


def __getattr__(name: str) -> Any:
    raise absent("nn", name, __all__)


class Lambda(nn.Module):
    """A function as a module."""

    def __init__(self, lmb: Callable[..., Any]):
        super().__init__()
        self.lmb = lmb

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.lmb(*args, **kwargs)


class Flatten(nn.Module):
    """[n, ...] -> [n, features]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.size(0), -1)


class Scale(nn.Module):
    """x times learned factors.

    Args:
        shape: Of the factors; None: one.
        alpha: Where they start.
    """

    def __init__(self, shape: int | tuple[int, ...] | None = None, alpha: float = 1.0):
        super().__init__()
        size = (1,) if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
        self.alpha = nn.Parameter(torch.ones(*size) * alpha)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.alpha


def freeze(module: M) -> M:
    """The module, whose parameters need no gradient from now on."""
    for p in module.parameters():
        p.detach_().requires_grad_(False)
    return module


def unfreeze(module: M) -> M:
    """The module, whose parameters need gradients again."""
    for p in module.parameters():
        p.requires_grad_()
    return module
