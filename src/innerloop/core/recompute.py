"""Memory bounded in inner steps: graphs are thrown away, and made again when the backward pass needs them.

Of such a step only the carried state is kept (checkpointing of Chen et al. 2016, https://arxiv.org/abs/1604.06174).
The graphs of the last steps stay: the backward pass wants those first, and to make them again would save little memory
beside the query's own graph.
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
def recomputing(enabled: bool = True, beside: int = 0) -> Iterator[None]:
    """Whether steps that `each` hands out in this thread are recomputed.

    Args:
        enabled: If not, none of them is.
        beside: Examples in the graph that comes after the steps, the query's; see `each`.
    """
    before = getattr(_LOCAL, "beside", None)
    _LOCAL.beside = beside if enabled else None
    try:
        yield
    finally:
        _LOCAL.beside = before


def each(f: Callable[..., Any], steps: int, examples: int) -> Iterator[Callable[..., Any]]:
    """`f`, a pure function of trees, once for every step; recomputed in the backward pass where that is asked for.

    Not recomputed are the last step, and before it as many as have no more examples together than the query, at most
    three fifths of all: their memory is bounded by that of the query. Under a transform none is: there is no graph to
    be thrown away.

    Args:
        f: A step.
        steps: How many.
        examples: In the graph of each.
    """
    beside: int | None = getattr(_LOCAL, "beside", None)
    if beside is None or not torch.is_grad_enabled() or transformed():
        kept = steps
    else:
        kept = max(1, min(3 * steps // 5, beside // max(examples, 1)))
    remade = _remade(f)
    for step in range(steps):
        yield remade if step < steps - kept else f


def _remade(f: Callable[..., Any]) -> Callable[..., Any]:
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
    # As a scalar: torch checks the shapes of slopes that it is given by SymPy, which takes 12 MB and half a second.
    along = torch.stack([(out * slope).sum() for out, slope in pairs]).sum()
    return torch.autograd.grad(along, leaves, allow_unused=True)
