"""No network: rows as they are, for learners of features that were computed before."""

from dataclasses import dataclass

from torch import nn

from innerloop.core.model import Model


@dataclass(frozen=True)
class AsIs(Model):
    """Rows of numbers, flattened: [n, ...] -> [n, d]. It has no parameters."""

    def build(self) -> nn.Module:
        return nn.Flatten()
