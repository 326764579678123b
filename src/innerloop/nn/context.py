"""Recurrent networks of full context embeddings (Vinyals et al. 2016), written out from linear layers.

Native LSTMs have no double backward and raise under `vmap`. Gates are in PyTorch's order, so weights can be exchanged.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from innerloop.core.lstm import next_state
from innerloop.core.model import Model
from innerloop.core.ranges import Count


@dataclass(frozen=True)
class BiLSTM(Model):
    """`{"x": [n, features], "rows": [n] bool}` -> [n, features], the sum of the two directions' hidden states.

    The n rows are one sequence; where `rows` is False, a row is passed over and its output means nothing.
    """

    features: Count = 64

    def build(self) -> nn.Module:
        return _BiLSTM(self.features)


@dataclass(frozen=True)
class LSTMCell(Model):
    """`{"x": [n, inputs], "h": [n, units], "c": [n, units]}` -> [n, 2 units], the next h and c side by side."""

    inputs: Count = 128
    units: Count = 64

    def build(self) -> nn.Module:
        return _LSTMCell(self.inputs, self.units)


class _LSTMCell(nn.Module):
    def __init__(self, inputs: int, units: int):
        super().__init__()
        self.input = nn.Linear(inputs, 4 * units)
        self.hidden = nn.Linear(units, 4 * units, bias=False)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> Tensor:
        return torch.cat(self.step(self.input(x), h, c), -1)

    def step(self, driven: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """The next h and c, from what the input layer made of x."""
        return next_state(driven + self.hidden(h), c)


class _BiLSTM(nn.Module):
    def __init__(self, features: int):
        super().__init__()
        self.forwards, self.backwards = _LSTMCell(features, features), _LSTMCell(features, features)

    def forward(self, x: Tensor, rows: Tensor) -> Tensor:
        # The backward states come out from the last row to the first, and are turned round again.
        return _hidden(self.forwards, x, rows) + _hidden(self.backwards, x.flip(0), rows.flip(0)).flip(0)


def _hidden(cell: _LSTMCell, x: Tensor, rows: Tensor) -> Tensor:
    """[n, features] hidden state after every row of a sequence."""
    h = c = torch.zeros_like(x[0])
    states = []
    for driven, real in zip(cell.input(x).unbind(0), rows.unbind(0), strict=True):
        next_h, next_c = cell.step(driven, h, c)
        h, c = torch.where(real, next_h, h), torch.where(real, next_c, c)
        states.append(h)
    return torch.stack(states)
