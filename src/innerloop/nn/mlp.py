"""Multilayer perceptron, and its special case without hidden layers."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import nn

from innerloop.core.model import Model
from innerloop.core.ranges import Count


@dataclass(frozen=True)
class MLP(Model):
    """Linear layers with ReLU (or tanh, or ELU) between: [n, ...] -> [n, outputs]; inputs are flattened.

    The default is the sinusoid network of Finn et al. 2017.
    """

    inputs: Count = 1
    hidden: tuple[Count, ...] = (40, 40)
    outputs: Count = 1
    activation: Literal["relu", "tanh", "elu"] = "relu"

    def build(self) -> nn.Module:
        layers: list[nn.Module] = [nn.Flatten()]
        for m, n in pairwise((self.inputs, *self.hidden, self.outputs)):
            layers += [nn.Linear(m, n), {"relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU}[self.activation]()]
        return nn.Sequential(*layers[:-1])


@dataclass(frozen=True)
class Linear(Model):
    """A linear head: [n, inputs] -> [n, outputs]."""

    inputs: Count = 64
    outputs: Count = 5
    zero: bool = False
    """Start from zero instead of torch's default."""

    def build(self) -> nn.Module:
        head = nn.Linear(self.inputs, self.outputs)
        if self.zero:
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        return head
