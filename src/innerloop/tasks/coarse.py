"""Pictures as a coarse sensor or a tight frame would have them: zoomed, stretched, of few pixels."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from innerloop.core import random
from innerloop.core.ranges import Count, NotNegative
from innerloop.tasks.augment import Augmentation, sampled

_ZOOM, _GRID = 21, 22


@dataclass(frozen=True, kw_only=True)
class Coarse(Augmentation):
    """A random affine map, a zoom that may differ in width and height, and a mean over cells of a random grid.

    As any augmentation, it is a function of a picture and its key alone.
    """

    rotation: NotNegative = 12.0
    shear: NotNegative = 0.15
    least: NotNegative = 0.95
    """Zoom from so much of the size"""
    wider: NotNegative = 0.75
    """to so much more in width,"""
    higher: NotNegative = 0.55
    """and in height."""
    grids: tuple[Count, ...] = (8, 8, 11, 16, 32)
    """Cells a side, each as often as it is there; the picture is brought back to its size afterwards."""

    def __call__(self, x: Tensor, key: Tensor) -> Tensor:
        """A coarse copy of each picture; arguments as of `Augmentation`."""
        x = super().__call__(x, key)
        height, width = x.shape[-2:]
        draw = random.uniform(random.fold(key, _ZOOM), (2,), torch.float64)  # [n, 2]
        zoom = self.least + draw * draw.new_tensor((self.wider, self.higher))
        rows, columns = (torch.arange(size, device=x.device) - (size - 1) / 2 for size in (height, width))
        u = (columns / zoom[:, 0, None])[:, None, :].expand(-1, height, -1)
        v = (rows / zoom[:, 1, None])[:, :, None].expand(-1, -1, width)
        zoomed = sampled(x, u, v)
        pick = random.uniform(random.fold(key, _GRID), (), torch.float64) * len(self.grids)
        # Every picture on every grid, so that none depends on its batch.
        size = (height, width)
        kinds = [interpolate(adaptive_avg_pool2d(zoomed, g), size, mode="bilinear") for g in self.grids]
        chosen = pick.long().clamp_max(len(self.grids) - 1)
        return torch.stack(kinds)[chosen, torch.arange(len(x), device=x.device)]
