"""The networks of Relation Networks (Sung et al. 2018): an encoder that keeps feature maps, and what compares them."""

from dataclasses import dataclass
from typing import Annotated

from torch import nn

from innerloop.core.errors import InputError
from innerloop.core.model import Model
from innerloop.core.ranges import Count, Within


@dataclass(frozen=True)
class ConvMaps(Model):
    """[n, channels, size, size] -> [n, width, size // 4, size // 4]: Conv-4 whose last two blocks do not pool.

    All blocks are padded; the authors' code leaves the first two unpadded, so that its maps are smaller.
    """

    channels: Count = 1
    size: Count = 28
    width: Count = 64

    def build(self) -> nn.Module:
        if self.size < 16:
            raise InputError(
                f"comparing feature maps takes pictures of at least 16 x 16, got {self.size} x {self.size}: "
                "use features without maps (mlp)"
            )
        c, w = self.channels, self.width
        return nn.Sequential(*_block(c, w), *_block(w, w), *_block(w, w, pool=False), *_block(w, w, pool=False))


@dataclass(frozen=True)
class Relation(Model):
    """[n, 2 channels, size, size] -> [n, 1], a score before the sigmoid.

    For features without space `MLP(inputs=2 * d, hidden=(d, 8), outputs=1)` does the same.
    """

    channels: Count = 64
    """Channels of one feature map."""
    size: Annotated[int, Within(4)] = 7
    hidden: Count = 8
    """Units between the two linear layers."""

    def build(self) -> nn.Module:
        c = self.channels
        left = c * (self.size // 4) ** 2
        head = nn.Flatten(), nn.Linear(left, self.hidden), nn.ReLU(), nn.Linear(self.hidden, 1)
        return nn.Sequential(*_block(2 * c, c), *_block(c, c), *head)


def _block(inputs: int, outputs: int, pool: bool = True) -> list[nn.Module]:
    layers = [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return [*layers, nn.MaxPool2d(2)] if pool else layers
