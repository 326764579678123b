"""A decoder that bends one picture of a class into another, and retouches what comes of it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from innerloop.core.model import Model
from innerloop.core.ranges import Count
from innerloop.nn.decoder import CodeMaps, Modulated
from innerloop.nn.set_encoder import side

_FINE = 16
"""Channels at the size of the picture."""
_BEND = 0.3
"""Part of half a side by which a unit of the field moves a pixel."""
_SURE = 4.0
"""What the logits of ink and of paper differ by at first."""


@dataclass(frozen=True)
class Warp(Model):
    """`{"code", "latent", "example", "features"}` -> [n, channels, size, size].

    The latent decides an affine map and a smooth field, by which `example`, and features of its pixels, are moved as
    spatial transformers do (Jaderberg et al. 2015); convolutions then retouch them.
    """

    channels: Count = 1
    size: Count = 28
    width: Count = 32
    """Channels of `features`, maps of the example."""
    code: Count = 8
    map: bool = True
    latent: Count = 16
    logits: bool = False
    """Whether the outputs are logits of ink, which is 0 to 1 in the example."""

    def build(self) -> nn.Module:
        return _Warp(self)


class _Warp(nn.Module):
    def __init__(self, sizes: Warp):
        super().__init__()
        c, w, half = sizes.channels, sizes.width, max(1, sizes.width // 2)
        self.size, self.logits, s = sizes.size, sizes.logits, side(sizes.size)
        self.maps = CodeMaps(sizes.code, sizes.map, sizes.latent, s)
        known = w + self.maps.channels
        self.pixels = nn.Sequential(nn.Conv2d(c, max(1, _FINE // 2 - c), 3, padding=1), nn.ELU())
        self.affine = nn.Linear(sizes.latent, 6)
        self.field = nn.Sequential(
            *(nn.Conv2d(known, half, 3, padding=1), nn.ELU(), nn.Conv2d(half, half, 3, padding=1), nn.ELU()),
            nn.Conv2d(half, 2, 1),
        )
        self.hints = nn.Sequential(nn.Conv2d(known, 16 * _FINE // 2, 1), nn.PixelShuffle(4))
        moved = c + max(1, _FINE // 2 - c)
        self.first = Modulated(nn.Conv2d(moved + _FINE // 2, _FINE, 3, padding=1), sizes.latent)
        self.second = nn.Sequential(nn.Conv2d(_FINE, _FINE, 3, padding=1), nn.ELU())
        self.last = nn.Conv2d(_FINE, c, 3, padding=1)
        self._still()

    def _still(self) -> None:
        """Begin with pictures that hardly move."""
        for zero in (self.field[-1].weight, self.field[-1].bias, self.affine.bias):
            nn.init.zeros_(zero)  # pyright: ignore[reportArgumentType]
        with torch.no_grad():
            self.affine.weight.mul_(0.5)

    def forward(self, code: Tensor, latent: Tensor, example: Tensor, features: Tensor) -> Tensor:
        known = torch.cat([features, self.maps(code, latent)], 1)
        picture = 2 * example - 1 if self.logits else example
        pixels = torch.cat([picture, self.pixels(example)], 1)
        moved = F.grid_sample(pixels, self._places(latent, known), padding_mode="border", align_corners=False)
        hints = self.hints(known)[:, :, : self.size, : self.size]
        retouched = self.last(self.second(self.first(torch.cat([moved, hints], 1), latent)))
        picture = moved[:, : picture.shape[1]]
        return retouched + (picture * (_SURE / 2) if self.logits else picture)

    def _places(self, latent: Tensor, known: Tensor) -> Tensor:
        """[n, size, size, 2] where each pixel comes from, from -1 to 1."""
        n, size = latent.shape[0], self.size
        line = (torch.arange(size, dtype=latent.dtype, device=latent.device) * 2 + 1) / size - 1
        grid = torch.stack([line.expand(size, size), line[:, None].expand(size, size)], -1)  # x, then y
        turn, shift = (0.5 * self.affine(latent)).unflatten(1, (2, 3)).split([2, 1], 2)
        moved = grid.flatten(0, 1) @ turn.transpose(1, 2) + shift.transpose(1, 2)  # [n, size ** 2, 2]
        field = F.interpolate(self.field(known), size=(size, size), mode="bilinear", align_corners=False)
        return grid + moved.reshape(n, size, size, 2) + _BEND * field.permute(0, 2, 3, 1)
