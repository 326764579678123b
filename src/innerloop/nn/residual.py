"""A residual linear map of frozen rows, such as a text encoder's: what they are, turned a little to suit the tasks."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from innerloop.core.model import Model
from innerloop.core.objectives import normalize
from innerloop.core.ranges import Count, Positive


@dataclass(frozen=True)
class Residual(Model):
    """`scale * unit(x + A x)` of rows of unit length: [n, ...] -> [n, inputs], or [n, outputs] by a linear head on it.

    A is zero at first, and so is the head: before it is trained the map keeps every direction as the encoder has it.
    The scale is learned; with squared distances, and with a head that inner steps move, its square is the inverse
    temperature of the logits.
    """

    inputs: Count = 512
    outputs: Count | None = None
    """None: an encoder."""
    scale: Positive = 2.5
    """At first."""
    rank: Count | None = None
    """That of A, a product of two matrices then (Hu et al. 2021, https://arxiv.org/abs/2106.09685); None: any."""

    def build(self) -> nn.Module:
        return _Residual(self)


class _Residual(nn.Module):
    def __init__(self, of: Residual):
        super().__init__()
        narrow = None if of.rank is None else nn.Linear(of.inputs, of.rank, bias=False)
        last = nn.Linear(of.rank or of.inputs, of.inputs, bias=False)
        self.map = last if narrow is None else nn.Sequential(narrow, last)
        self.log_scale = nn.Parameter(torch.tensor(math.log(of.scale)))
        self.head = None if of.outputs is None else nn.Linear(of.inputs, of.outputs)
        for layer in (last, self.head):
            for weights in () if layer is None else layer.parameters():
                nn.init.zeros_(weights)

    def forward(self, x: Tensor) -> Tensor:
        rows = normalize(x.flatten(1))
        features = self.log_scale.exp() * normalize(rows + self.map(rows))
        return features if self.head is None else self.head(features)
