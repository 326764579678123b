"""A gated recurrent unit of plain linear layers."""

from dataclasses import dataclass

from torch import Tensor, nn

from innerloop.core import gru
from innerloop.core.model import Model
from innerloop.core.ranges import Count


@dataclass(frozen=True)
class GRU(Model):
    """`{"x": [n, inputs], "h": [n, units]}` -> [n, units], the next h."""

    inputs: Count = 9
    units: Count = 64

    def build(self) -> nn.Module:
        return _GRU(self.inputs, self.units)


class _GRU(nn.Module):
    def __init__(self, inputs: int, units: int):
        super().__init__()
        self.new, self.old = nn.Linear(inputs, 3 * units), nn.Linear(units, 3 * units)
        # An orthogonal map for each gate, so that a state neither dies nor explodes over a long trial.
        for part in self.old.weight.data.chunk(3):
            nn.init.orthogonal_(part)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return gru.next_state(self.new(x), self.old(h), h)
