"""Conv-4, the field's small image network: four blocks of conv 3x3, batch norm, ReLU (Vinyals 2016, Finn 2017)."""

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from innerloop.core.config import LATER
from innerloop.core.errors import InputError
from innerloop.core.model import Model
from innerloop.core.ranges import Count


@dataclass(frozen=True)
class Conv4(Model):
    """[n, channels, size, size] -> [n, outputs], or [n, features] when `outputs` is None (an encoder).

    With `pool="max"` each block ends in 2x2 max-pooling and the features are flattened (Matching and Prototypical
    Networks); with `pool="stride"` the convolutions have stride 2 and the features are averaged over space (the
    Omniglot network of Finn et al.). The 64-channel Omniglot encoder has 111,936 parameters.
    """

    channels: Count = 1
    size: Count = 28
    outputs: Count | None = 5
    width: Count = 64
    pool: Literal["max", "stride"] = "max"
    norm: bool = field(default=True, metadata=LATER)
    """Batch norm in every block; without, every picture is seen by itself, as learning on a stream needs it."""

    @property
    def features(self) -> int:
        """Length of the feature vector."""
        if self.pool == "stride":
            return self.width
        return self.width * (self.size // 16) ** 2

    def build(self) -> nn.Module:
        if self.pool == "max" and self.size < 16:
            raise InputError(
                f"four max-pools need pictures of at least 16 x 16, got {self.size} x {self.size}: pool='stride'"
            )
        blocks: list[nn.Module] = []
        inputs = self.channels
        for _ in range(4):
            blocks += [nn.Conv2d(inputs, self.width, 3, stride=2 if self.pool == "stride" else 1, padding=1)]
            blocks += [nn.BatchNorm2d(self.width)] if self.norm else []
            # Before the ReLU, which leaves the order of numbers as it is: the same result, and a quarter to rectify.
            blocks += [nn.MaxPool2d(2)] if self.pool == "max" else []
            blocks += [nn.ReLU()]
            inputs = self.width
        blocks += [nn.Flatten() if self.pool == "max" else _SpatialMean()]
        blocks += [] if self.outputs is None else [nn.Linear(self.features, self.outputs)]
        return nn.Sequential(*blocks)


class _SpatialMean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))  # [n, width]
