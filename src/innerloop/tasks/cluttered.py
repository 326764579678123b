"""Pictures of clean strokes as they might look in a street: coloured, inverted, cluttered, blurred and noisy."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from innerloop.core import random
from innerloop.core.ranges import NotNegative, Within
from innerloop.tasks.augment import Augmentation

_SMOOTH = (0.25, 0.5, 0.25)
_COLOUR, _SIDE, _OTHER, _BLUR, _NOISE, _LEVEL = 11, 12, 13, 14, 15, 16


@dataclass(frozen=True, kw_only=True)
class Clutter(Augmentation):
    """A random affine map, pieces of copies at the sides, any two colours, a gradient, blur and noise.

    Pictures are light strokes on dark; brightness says how much of a pixel has the stroke's colour. As any
    augmentation, it is a function of a picture and its key alone: what clutters a picture are copies of itself,
    upside down and moved to the sides.
    """

    rotation: NotNegative = 12.0
    shift: NotNegative = 2.0
    scale: Annotated[float, Within(0, 1, below=True)] = 0.2
    shear: NotNegative = 0.15
    neighbours: Annotated[float, Within(0, 1)] = 0.6
    """How often there is one on a side."""
    contrast: Annotated[float, Within(0, 1)] = 0.2
    """Least difference in brightness of the two colours, where the draw allows."""
    gradient: NotNegative = 0.25
    noise: NotNegative = 0.06
    """Most that noise deviates by."""

    def __call__(self, x: Tensor, key: Tensor) -> Tensor:
        """A cluttered copy of each picture.

        Args:
            x: [n, 3, height, width] floating point in [0, 1], light on dark.
            key: [n] int64, as `core.random` takes them.
        """
        shade = super().__call__(x, key).mean(1, keepdim=True)  # [n, 1, height, width]
        shade = self._with_neighbours(shade, key)
        ground, ink = self._colours(key, x.dtype)
        picture = ground * (1 - shade) + ink * shade
        picture = picture + self._ramp(shade, key)
        blurred = _blurred(picture)
        share = random.uniform(random.fold(key, _BLUR), (1, 1, 1), x.dtype)
        picture = share * blurred + (1 - share) * picture
        level = self.noise * random.uniform(random.fold(key, _LEVEL), (1, 1, 1), x.dtype)
        noise = random.normal(random.fold(key, _NOISE), tuple(picture.shape[1:]), x.dtype)
        return (picture + level * noise).clamp(0, 1)

    def _with_neighbours(self, shade: Tensor, key: Tensor) -> Tensor:
        """Copies upside down, each moved to a side by 70 to 100% of the width."""
        width = shade.shape[-1]
        draw = random.uniform(random.fold(key, _SIDE), (2, 2), torch.float64)  # [n, side, (there, how far)]
        copy = shade.flip((-2, -1))
        for side, sign in enumerate((1, -1)):
            there = draw[:, side, 0] < self.neighbours
            moved = (width * (0.7 + 0.3 * draw[:, side, 1])).long() * sign
            column = torch.arange(width, device=shade.device) - moved[:, None]  # [n, width]
            inside = (column >= 0) & (column < width) & there[:, None]
            index = column.clamp(0, width - 1)[:, None, None].expand_as(shade)
            shade = torch.maximum(shade, copy.gather(3, index) * inside[:, None, None])
        return shade

    def _colours(self, key: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Ground and ink, [n, 3, 1, 1] each; where they are too much alike, the ink becomes black or white."""
        ground, ink = random.uniform(random.fold(key, _COLOUR), (2, 3, 1, 1), dtype).unbind(1)
        extreme = (ground.mean(1, keepdim=True) < 0.5).to(dtype)
        alike = (ground.mean(1, keepdim=True) - ink.mean(1, keepdim=True)).abs() < self.contrast
        return ground, torch.where(alike, extreme, ink)

    def _ramp(self, shade: Tensor, key: Tensor) -> Tensor:
        """[n, 1, height, width] brighter to one side and darker to the other."""
        height, width = shade.shape[-2:]
        slope = 2 * random.uniform(random.fold(key, _OTHER), (2, 1, 1, 1), shade.dtype) - 1
        down = torch.linspace(-0.5, 0.5, height, dtype=shade.dtype, device=shade.device)[:, None]
        across = torch.linspace(-0.5, 0.5, width, dtype=shade.dtype, device=shade.device)
        return self.gradient * (slope[:, 0] * down + slope[:, 1] * across)


def _blurred(x: Tensor) -> Tensor:
    """Smoothed by a kernel of three pixels each way."""
    line = x.new_tensor(_SMOOTH)
    kernel = (line[:, None] * line).expand(x.shape[1], 1, 3, 3)
    return conv2d(pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=x.shape[1])
