"""A task as one vector: the mean of what a network makes of each example of its support together with its target."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Model
from innerloop.core.objectives import membership, weights
from innerloop.core.types import Batch, Params


@runtime_checkable
class Choosing(Protocol):
    """A learner of several experts, that says which of them a task is for."""

    def gate(self, params: Params, support: Batch) -> Tensor:
        """[k] share of each expert in a task, 1 together."""
        ...


def examples(support: Batch, model: Model, weights: Params) -> dict[str, Tensor]:
    """X [n, ...] and y [n, outputs] of a support; of a class, one number for each output, 1 for its own.

    Args:
        support: Of a task, which may have fewer classes than there are outputs.
        model: x -> outputs of the task.
        weights: Its parameters.

    Raises:
        InputError: Inputs are several tensors, or classes do not say how many there are.
    """
    x, y = support.x, support.y
    if isinstance(x, dict):
        raise InputError(f"a code of a task is made from inputs that are one tensor, got a dict of {', '.join(x)}")
    if y.is_floating_point():
        return {"x": x, "y": y.flatten(1)}
    if support.classes is None:
        raise InputError("a code of a task of classes needs `classes` ([ways] bool): its length is the number of ways")
    outputs = model.apply(weights, tree.slice(x, slice(0, 1))).shape[1]
    return {"x": x, "y": membership(y, outputs, None, x.dtype)}


def pooled(rows: Tensor, support: Batch) -> Tensor:
    """[d], the mean of [n, d] rows over those that count; 0 where there are none."""
    counted = weights(support.y, support.mask).to(rows.dtype)
    return counted @ rows / counted.sum().clamp_min(1)


def entropy(shares: Tensor) -> Tensor:
    """[...] entropies, in nats, of [..., k] shares that are 1 together."""
    return torch.special.entr(shares).sum(-1)
