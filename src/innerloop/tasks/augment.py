"""Distorted copies of pictures: each is a function of the picture and a key, whatever batch it is in."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from innerloop.core import random
from innerloop.core.ranges import Checked, NotNegative, Within


@dataclass(frozen=True, kw_only=True)
class Augmentation(Checked):
    """How far a random affine map may go, each part uniform between its bounds; what it brings in from outside is 0.

    Raises:
        InputError: A bound is negative, or would turn a picture inside out.
    """

    rotation: NotNegative = 15.0
    """Degrees, either way."""
    shift: NotNegative = 2.0
    """Pixels, either way, on each axis."""
    scale: Annotated[float, Within(0, 1, below=True)] = 0.1
    """Part of the size, either way."""
    shear: NotNegative = 0.0
    """Horizontal shift of a row for each row above it, either way."""
    drop: Annotated[float, Within(0, 1, below=True)] = 0.0
    """Most of the pixels that are set to 0, as a share."""

    def __call__(self, x: Tensor, key: Tensor) -> Tensor:
        """A distorted copy of each picture.

        Args:
            x: [n, channels, height, width] floating point.
            key: [n] int64, as `core.random` takes them.
        """
        height, width = x.shape[-2:]
        draw = 2 * random.uniform(random.fold(key, 1), (5,), torch.float64) - 1  # [n, 5]
        angle, across, down, scale, shear = (draw * draw.new_tensor(self._bounds)).T[..., None, None]  # [n, 1, 1]
        rows, columns = (torch.arange(size, device=x.device) - (size - 1) / 2 for size in (height, width))
        # Where each pixel of the copy comes from, in pixels from the centre: elementwise, so batches do not matter.
        v, u = (rows[:, None] - down) / (1 + scale), (columns - across) / (1 + scale)
        u = u + shear * v
        u, v = angle.cos() * u - angle.sin() * v, angle.sin() * u + angle.cos() * v
        copies = sampled(x, u, v)
        if not self.drop:
            return copies
        share = self.drop * random.uniform(random.fold(key, 2), (1, 1, 1), x.dtype)
        return copies * (random.uniform(random.fold(key, 3), (1, height, width), x.dtype) >= share)

    @property
    def _bounds(self) -> tuple[float, ...]:
        return math.radians(self.rotation), self.shift, self.shift, self.scale, self.shear


def turned(x: Tensor, angle: Tensor) -> Tensor:
    """Pictures [n, channels, height, width] turned about their middle by angles [n], counter-clockwise in radians."""
    height, width = x.shape[-2:]
    angle = angle.to(torch.float64)[:, None, None]
    v, u = (torch.arange(size, device=x.device) - (size - 1) / 2 for size in (height, width))
    v = v[:, None]
    u, v = angle.cos() * u - angle.sin() * v, angle.sin() * u + angle.cos() * v
    return sampled(x, u, v)


def sampled(x: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Pictures whose pixels come from columns u and rows v [n, height, width], counted from the middle; 0 outside."""
    height, width = x.shape[-2:]
    grid = torch.stack([2 * u / width, 2 * v / height], -1).to(x.dtype)
    return grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
