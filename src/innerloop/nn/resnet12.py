"""ResNet-12, the field's larger image network (Oreshkin et al. 2018, Lee et al. 2019), without DropBlock."""

from dataclasses import dataclass

from torch import Tensor, nn

from innerloop.core.errors import InputError
from innerloop.core.model import Model
from innerloop.core.ranges import Count


@dataclass(frozen=True)
class ResNet12(Model):
    """[n, channels, size, size] -> [n, outputs], or [n, widths[-1]] when `outputs` is None.

    Four residual blocks of three 3x3 convolutions, LeakyReLU(0.1), max-pool 2, then the mean over space. The default
    widths are those of MetaOptNet and RFS; (64, 128, 256, 512) is the other one in use.
    """

    channels: Count = 3
    size: Count = 84
    outputs: Count | None = 5
    widths: tuple[Count, Count, Count, Count] = (64, 160, 320, 640)

    @property
    def features(self) -> int:
        """Length of the feature vector."""
        return self.widths[-1]

    def build(self) -> nn.Module:
        if self.size < 16:
            raise InputError(f"four max-pools need pictures of at least 16 x 16, got {self.size} x {self.size}")
        blocks = [_Block(i, o) for i, o in zip((self.channels, *self.widths), self.widths, strict=False)]
        head = [] if self.outputs is None else [nn.Linear(self.features, self.outputs)]
        return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), *head)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        layers: list[nn.Module] = []
        for i in (inputs, outputs, outputs):
            layers += [nn.Conv2d(i, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1)]
        self.body = nn.Sequential(*layers[:-1])
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        # The other way round than in the papers, as in Conv4: the same result sooner.
        self.end = nn.Sequential(nn.MaxPool2d(2), nn.LeakyReLU(0.1))

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.body(x) + self.shortcut(x))
