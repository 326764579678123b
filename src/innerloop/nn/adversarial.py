"""A painter of pictures and its critic, small enough to be trained on a handful: no norm mixes the rows of a batch."""

from dataclasses import dataclass

from torch import Tensor, nn

from innerloop.core.model import Model
from innerloop.core.ranges import Count
from innerloop.nn.set_encoder import side


@dataclass(frozen=True)
class PicturePainter(Model):
    """`{"latent": [n, latent]}` -> [n, channels, size, size] from 0 to 1, from a map a quarter as long."""

    channels: Count = 1
    size: Count = 28
    width: Count = 32
    latent: Count = 16

    def build(self) -> nn.Module:
        return _PicturePainter(self)


@dataclass(frozen=True)
class PictureCritic(Model):
    """[n, channels, size, size] -> [n, 1]."""

    channels: Count = 1
    size: Count = 28
    width: Count = 32

    def build(self) -> nn.Module:
        w = self.width
        return nn.Sequential(
            *(nn.Conv2d(self.channels, w, 3, stride=2, padding=1), nn.SiLU()),
            *(nn.Conv2d(w, 2 * w, 3, stride=2, padding=1), nn.SiLU()),
            *(nn.Conv2d(2 * w, 2 * w, 3, stride=2, padding=1), nn.SiLU()),
            *(nn.Flatten(), nn.Linear(2 * w * side(side(self.size) * 2) ** 2, 1)),
        )


class _PicturePainter(nn.Module):
    def __init__(self, sizes: PicturePainter):
        super().__init__()
        w, self.size, s = sizes.width, sizes.size, side(sizes.size)
        half = max(1, w // 2)
        self.layers = nn.Sequential(
            *(nn.Linear(sizes.latent, 2 * w * s**2), nn.Unflatten(1, (2 * w, s, s)), nn.SiLU()),
            *(nn.Conv2d(2 * w, 4 * w, 3, padding=1), nn.PixelShuffle(2), nn.SiLU()),
            *(nn.Conv2d(w, 4 * half, 3, padding=1), nn.PixelShuffle(2), nn.SiLU()),
            *(nn.Conv2d(half, sizes.channels, 3, padding=1), nn.Sigmoid()),
        )

    def forward(self, latent: Tensor) -> Tensor:
        return self.layers(latent)[:, :, : self.size, : self.size]
