"""Networks that say what a set of examples has in common, and what one of them is beside it.

After Edwards and Storkey 2017, with class codes that may keep their place in the picture.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from innerloop.core.model import Model
from innerloop.core.ranges import Count

_HALVED = 4
"""Pixels of the picture, along a side, to one of its map."""
_UNITS = 128


def side(size: int) -> int:
    """Length of a side of the maps of pictures with this one."""
    return -(-size // _HALVED)


@dataclass(frozen=True)
class PictureFeatures(Model):
    """[n, channels, size, size] -> maps [n, width, size / 4, size / 4], rounded up, of every picture by itself."""

    channels: Count = 1
    size: Count = 28
    width: Count = 32

    @property
    def side(self) -> int:
        """Length of a side of the maps."""
        return side(self.size)

    def build(self) -> nn.Module:
        w = self.width
        return nn.Sequential(
            *(nn.Conv2d(self.channels, w, 3, stride=2, padding=1), nn.ELU()),
            *(nn.Conv2d(w, w, 3, padding=1), nn.GroupNorm(1, w), nn.ELU()),
            *(nn.Conv2d(w, w, 3, stride=2, padding=1), nn.GroupNorm(1, w), nn.ELU()),
            *(nn.Conv2d(w, w, 3, padding=1), nn.GroupNorm(1, w), nn.ELU()),
        )


@dataclass(frozen=True)
class CodeStatistics(Model):
    """Mean maps [k, width, side, side] -> [k, 2 code, side, side], or [k, 2 code] without a map."""

    width: Count = 32
    side: Count = 7
    code: Count = 8
    map: bool = True

    def build(self) -> nn.Module:
        w = self.width
        if self.map:
            return nn.Sequential(nn.Conv2d(w, w, 3, padding=1), nn.ELU(), nn.Conv2d(w, 2 * self.code, 1))
        units = 2 * _UNITS
        return nn.Sequential(
            nn.Flatten(), nn.Linear(w * self.side**2, units), nn.ELU(), nn.Linear(units, 2 * self.code)
        )


@dataclass(frozen=True)
class LatentStatistics(Model):
    """`{"features", "code"}`, where `anchored` with `"anchor"`, maps like the features -> [n, 2 latent]."""

    width: Count = 32
    side: Count = 7
    code: Count = 8
    latent: Count = 16
    anchored: bool = True

    def build(self) -> nn.Module:
        return _LatentStatistics(self)


class _LatentStatistics(nn.Module):
    def __init__(self, sizes: LatentStatistics):
        super().__init__()
        w, left = sizes.width, sizes.width // 2 + 8
        inputs = w * (1 + sizes.anchored) + sizes.code
        self.layers = nn.Sequential(
            *(nn.Conv2d(inputs, w, 3, padding=1), nn.ELU(), nn.Conv2d(w, left, 3, padding=1), nn.ELU()),
            *(nn.Flatten(), nn.Linear(left * sizes.side**2, _UNITS), nn.ELU(), nn.Linear(_UNITS, 2 * sizes.latent)),
        )

    def forward(self, features: Tensor, code: Tensor, anchor: Tensor | None = None) -> Tensor:
        if code.dim() == 2:  # the same at every place
            code = code[:, :, None, None].expand(-1, -1, *features.shape[2:])
        return self.layers(torch.cat([features, code] if anchor is None else [features, code, anchor], 1))
