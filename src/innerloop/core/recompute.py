"""Memory flat in inner steps: a step's graph is thrown away, and made again when the backward pass needs it.

Only the carried state between steps is kept (checkpointing of Chen et al. 2016, https://arxiv.org/abs/1604.06174).
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.gradient import transformed

_LOCAL = threading.local()


@contextlib.contextmanager
def recomputing(enabled: bool = True) -> Iterator[None]:
    """Whether functions that `wrap` sees in this thread are recomputed."""
    before = getattr(_LOCAL, "enabled", False)
    _LOCAL.enabled = enabled
    try:
        yield
    finally:
        _LOCAL.enabled = before


def wrap(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, a pure function of trees, recomputed in the backward pass where that is asked for.

    Under a transform it stays as it is: there is no graph to be thrown away.
    """
    if not getattr(_LOCAL, "enabled", False) or not torch.is_grad_enabled() or transformed():
        return f

    def recomputed(*trees: Any) -> Any:
        shape: list[Any] = []

        def flat(*leaves: Tensor) -> tuple[Tensor, ...]:
            result = f(*tree.unflatten(trees, leaves))
            shape[:] = [tree.map(lambda _: 0, result)]
            return tuple(tree.flatten(result))

        results = _Recomputed.apply(flat, *tree.flatten(trees))
        return tree.unflatten(shape[0], results)

    return recomputed


class _Recomputed(torch.autograd.Function):
    """Runs without a graph, then again with one; not differentiable twice."""

    @staticmethod
    def forward(ctx: Any, f: Callable[..., tuple[Tensor, ...]], *leaves: Tensor) -> tuple[Tensor, ...]:
        ctx.f = f
        ctx.save_for_backward(*leaves)
        # A leaf handed through would be taken for one changed in place.
        outputs = tuple(out.view_as(out) if any(out is leaf for leaf in leaves) else out for out in f(*leaves))
        ctx.mark_non_differentiable(*(out for out in outputs if not out.is_floating_point()))
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        with torch.enable_grad():
            leaves = [v.detach().requires_grad_(v.is_floating_point()) for v in ctx.saved_tensors]
            outputs = ctx.f(*leaves)
            pairs = [(out, slope) for out, slope in zip(outputs, slopes, strict=True) if out.requires_grad]
            learned = [leaf for leaf in leaves if leaf.requires_grad]
            pulled = iter(_vjp(pairs, learned))
        return None, *(next(pulled) if leaf.requires_grad else None for leaf in leaves)


def _vjp(pairs: list[tuple[Tensor, Tensor]], leaves: list[Tensor]) -> tuple[Tensor | None, ...]:
    if not pairs:
        return (None,) * len(leaves)
    outputs, slopes = zip(*pairs, strict=True)
    return torch.autograd.grad(outputs, leaves, slopes, allow_unused=True)
