"""Gradients of a few tasks: what every way of running them is made of."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.guards import explain
from innerloop.core.types import Metrics


def vmapped(run: Callable[[], Any]) -> Any:
    """`run()`, whose errors say what to do where vmap cannot trace the learner."""
    try:
        return run()
    except RuntimeError as error:
        message = explain(error)
        if message is None:
            raise
        raise InputError(message) from error


def gradients_of(outputs: list[Tensor], inputs: list[Tensor], slopes: list[Tensor] | None) -> list[Tensor]:
    """Gradients at `inputs`, zero where nothing depends on them."""
    if not inputs or not any(out.requires_grad for out in outputs):
        return [torch.zeros_like(v) for v in inputs]
    return list(torch.autograd.grad(outputs, inputs, slopes, allow_unused=True, materialize_grads=True))


def detached(loss: Tensor, metrics: Metrics) -> Metrics:
    """A task's metrics, its loss among them, without a graph."""
    return {"loss": loss.detach()} | tree.map(Tensor.detach, metrics)


def channels_last(leaf: Tensor) -> Tensor:
    """A 4-dimensional tensor with its second dimension innermost in memory; others as they are.

    `contiguous(memory_format=...)` does nothing for one channel, and the convolution after it goes back.
    """
    if leaf.ndim != 4 or not leaf.is_floating_point():
        return leaf
    _, c, h, w = leaf.shape
    return torch.empty_strided(leaf.shape, (c * h * w, 1, w * c, c), dtype=leaf.dtype, device=leaf.device).copy_(leaf)
