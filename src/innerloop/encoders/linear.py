"""Linear layers of frozen encoders of texts by oneDNN, on processors where MKL is slow.

MKL, by which torch multiplies matrices, reaches half of the speed of oneDNN, with which torch comes as well, on
processors of AMD. Which of the two is taken follows from the maker and never from a clock: every process of a machine
makes the same rows.
"""

import contextlib
import functools
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
_ABOUT = Path("/proc/cpuinfo")
_MAKERS = ("AuthenticAMD", "HygonGenuine")
_LEAST = 64
"""Outputs of a layer: smaller ones gain nothing."""


class Linear(nn.Linear):
    """The same layer, by oneDNN where nothing is learned from it."""

    def forward(self, input: Tensor) -> Tensor:
        """As of `nn.Linear`, up to rounding."""
        if torch.is_grad_enabled() or input.dtype != torch.float32 or input.device.type != "cpu":
            return super().forward(input)
        return torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, "none", [], "")


def quickened(network: Network) -> Network:
    """The network, its linear layers by oneDNN where that is faster here; weights and their names stay."""
    if not slow():
        return network
    for layer in network.modules():
        # By type: a subclass does something else.
        if type(layer) is nn.Linear and layer.out_features >= _LEAST:
            layer.__class__ = Linear  # it has the same fields, and what holds it need not be found
    return network


@functools.cache
def slow() -> bool:
    """Whether MKL is slow on this processor, and oneDNN there."""
    there = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    with contextlib.suppress(OSError):
        for line in _ABOUT.read_text().splitlines():
            if line.startswith("vendor_id"):
                return there and line.partition(":")[2].strip() in _MAKERS
    return False
