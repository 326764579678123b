"""Tensors that begin at a multiple of 64 bytes, wherever they come from.

Torch's own memory begins so. What safetensors, NumPy, a database or a request hands out, and a slice, may begin
anywhere, and then some processors take another path through a matrix product, with other rounding and less speed
(MKL's products on AMD). Whatever comes from outside passes through here once, so that equal numbers give equal results.
"""

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from innerloop.core import tree

T = TypeVar("T")
BYTES = 64
"""A cache line, and the widest registers."""


def aligned(values: T) -> T:
    """The same numbers in aligned memory: tensors that begin there as they are, the others as copies.

    Args:
        values: A tensor, or a tree of them (see `core.tree`); leaves that are no tensors stay as they are.
    """
    return tree.map(lambda leaf: leaf if is_aligned(leaf) else leaf.clone(), values)


def packed(values: T) -> T:
    """The same numbers as a file would give them back: aligned, and row after row; such tensors as they are.

    What a solver leaves lies column after column, and is multiplied by another kernel.

    Args:
        values: As of `aligned`.
    """
    return aligned(tree.map(lambda leaf: leaf.contiguous() if isinstance(leaf, Tensor) else leaf, values))


def align(network: nn.Module) -> nn.Module:
    """Put the parameters and buffers of a network where `aligned` has them; the same network."""
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = aligned(tensor.data)
    return network


def from_numpy(array: Any) -> Tensor:
    """An array as a tensor in aligned memory: a copy, unless the array is plain, writeable and begins there."""
    # One row of a reversed array counts as contiguous, and torch refuses its stride.
    plain = array.flags.writeable and array.flags.c_contiguous and min(array.strides, default=0) >= 0
    return aligned(torch.from_numpy(array if plain else array.copy(order="C")))


def is_aligned(value: Any) -> bool:
    """Whether its numbers begin at a multiple of 64 bytes, or it has none here: on a GPU, sparse, or no tensor."""
    here = isinstance(value, Tensor) and value.device.type == "cpu" and value.layout == torch.strided
    return not here or value.data_ptr() % BYTES == 0
