"""Networks that write an example from a code of its class and a latent of its own, without another to begin from."""

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from innerloop.core.errors import InputError
from innerloop.core.model import Model
from innerloop.core.ranges import Count
from innerloop.nn.set_encoder import side

_MAPS = 16
"""Channels of the map that a latent becomes."""
_FINE = 16
"""Channels at the size of the picture."""


@dataclass(frozen=True)
class JoinedMLP(Model):
    """Tensors given by name, flattened and side by side in the order of their names -> [n, *shape]."""

    inputs: Count
    """Numbers of all of them together."""
    hidden: tuple[Count, ...]
    shape: tuple[Count, ...]
    plus: Literal["example"] | None = None
    """The one, of that shape, to which the outputs are added."""

    def build(self) -> nn.Module:
        return _JoinedMLP(self)


@dataclass(frozen=True)
class PictureDecoder(Model):
    """`{"code", "latent"}` -> [n, channels, size, size], painted from a map a quarter as long."""

    channels: Count = 1
    size: Count = 28
    width: Count = 32
    code: Count = 8
    map: bool = True
    latent: Count = 16

    def build(self) -> nn.Module:
        return _PictureDecoder(self)


class CodeMaps(nn.Module):
    """A class code and a latent as one map [n, channels, side, side]: a code that has a place keeps it."""

    def __init__(self, code: int, map: bool, latent: int, side: int):
        super().__init__()
        self.side, self.map = side, map
        self.channels = _MAPS + code if map else 2 * _MAPS
        self.spread = nn.Linear(latent if map else latent + code, (_MAPS if map else 2 * _MAPS) * side**2)

    def forward(self, code: Tensor, latent: Tensor) -> Tensor:
        spread = F.elu(self.spread(latent if self.map else torch.cat([code, latent], 1)))
        maps = spread.unflatten(1, (-1, self.side, self.side))
        return torch.cat([code, maps], 1) if self.map else maps


class Modulated(nn.Module):
    """A layer whose outputs a latent scales and shifts, channel by channel (FiLM, Perez et al. 2018)."""

    def __init__(self, layer: nn.Conv2d, latent: int):
        super().__init__()
        self.layer, self.by = layer, nn.Linear(latent, 2 * layer.out_channels)
        self.norm = nn.GroupNorm(1, layer.out_channels)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        scale, shift = self.by(latent)[:, :, None, None].chunk(2, 1)
        return F.elu(self.norm(self.layer(x)) * (1 + scale) + shift)


class _JoinedMLP(nn.Module):
    def __init__(self, sizes: JoinedMLP):
        super().__init__()
        layers: list[nn.Module] = []
        for m, n in pairwise((sizes.inputs, *sizes.hidden, prod(sizes.shape))):
            layers += [nn.Linear(m, n), nn.ELU()]
        self.inputs, self.shape, self.plus = sizes.inputs, sizes.shape, sizes.plus
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, **parts: Tensor) -> Tensor:
        joined = torch.cat([parts[name].flatten(1) for name in sorted(parts)], 1)
        if joined.shape[1] != self.inputs:
            raise InputError(
                f"{', '.join(sorted(parts))} are {joined.shape[1]} numbers side by side, and the network takes "
                f"{self.inputs}"
            )
        outputs = self.layers(joined)
        outputs = outputs.reshape(-1, *self.shape)
        return outputs if self.plus is None else parts[self.plus] + outputs


class _PictureDecoder(nn.Module):
    def __init__(self, sizes: PictureDecoder):
        super().__init__()
        w, self.size = sizes.width, sizes.size
        self.maps = CodeMaps(sizes.code, sizes.map, sizes.latent, side(sizes.size))
        self.mixed = nn.Conv2d(self.maps.channels, w, 3, padding=1)
        self.modulated = Modulated(nn.Conv2d(w, w, 3, padding=1), sizes.latent)
        self.painted = nn.Sequential(
            *(nn.Conv2d(w, 4 * w, 3, padding=1), nn.PixelShuffle(2), nn.GroupNorm(1, w), nn.ELU()),
            *(nn.Conv2d(w, w, 3, padding=1), nn.ELU()),
            *(nn.Conv2d(w, 4 * _FINE, 3, padding=1), nn.PixelShuffle(2), nn.ELU()),
            nn.Conv2d(_FINE, sizes.channels, 3, padding=1),
        )

    def forward(self, code: Tensor, latent: Tensor) -> Tensor:
        maps = F.elu(self.mixed(self.maps(code, latent)))
        return self.painted(self.modulated(maps, latent))[:, :, : self.size, : self.size]
