"""Copies of pictures of sounds as other speakers, rooms and recorders would have made them.

Each is a function of the picture and a key, whatever batch it is in. Besides shift, gain and noise there are
SpecAugment (Park et al. 2019, https://arxiv.org/abs/1904.08779), which blanks bands and columns, and another length of
the vocal tract and rate of speech, as scales of both axes (Jaitly and Hinton 2013).
"""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.ranges import Checked, NotNegative, Within
from innerloop.tasks.augment import sampled
from innerloop.tasks.log_mel import RANGE, contrast, levels

Part = Annotated[float, Within(0, 1, below=True)]


@dataclass(frozen=True, kw_only=True)
class SoundAugmentation(Checked):
    """How far a copy may go, each part uniform between its bounds; what comes in from outside is silence.

    Raises:
        InputError: A bound is negative, or a share not below 1.
    """

    shift: NotNegative = 3.0
    """Columns of time, either way."""
    rate: Part = 0.15
    """Change of the rate of speech, either way."""
    pitch: Part = 0.06
    """Change of all pitches on the mel scale, either way, as of a longer or shorter vocal tract."""
    gain: NotNegative = 9.0
    """Decibels, either way, by which a recorder is more sensitive to the lowest bands than to the highest, or less."""
    noise: Part = 0.5
    """Loudest noise, as a share of the range between silence and the loudest sound."""
    bands: Part = 0.15
    """Most of the bands that are blanked, as a share, in one piece."""
    columns: Part = 0.1
    """Most of the columns that are blanked, likewise."""

    def __call__(self, x: Tensor, key: Tensor) -> Tensor:
        """A copy of each picture.

        Args:
            x: [n, 1, bands, columns] as `LogMel.picture` makes them, from 0 to 1, the highest band first.
            key: [n] int64, as `core.random` takes them.
        """
        height, width = x.shape[-2:]
        draw = random.uniform(random.fold(key, 1), (9,), torch.float64)  # [n, 9]
        shift, rate, pitch, tilt, noise, high, low, wide, start = draw.T[..., None, None]  # [n, 1, 1]
        rows = torch.arange(height, device=x.device, dtype=torch.float64)[:, None]
        columns = torch.arange(width, device=x.device, dtype=torch.float64)
        # Where each cell of the copy comes from, from the middle; pitches are scaled from the lowest band.
        u = (columns - (width - 1) / 2 - self.shift * (2 * shift - 1)) / (1 + self.rate * (2 * rate - 1))
        above = (height - 1 - rows) / (1 + self.pitch * (2 * pitch - 1))
        u, v = torch.broadcast_tensors(u, (height - 1) / 2 - above)
        copies = sampled(levels(x).clamp(0, 1), u, v)
        slope = (self.gain / RANGE * (2 * tilt - 1) * (1 - 2 * rows / (height - 1)) * 0.5).to(x.dtype)
        copies = copies + slope[:, None] * (copies > 0)
        copies = self._with_noise(copies, noise.to(x.dtype)[:, None], random.fold(key, 2))
        copies = copies / copies.amax((-2, -1), keepdim=True).clamp_min(1e-3)  # the loudest is 1, as when it was read
        blank = _within(rows, height, high, low * self.bands) | _within(columns, width, start, wide * self.columns)
        return contrast(copies.clamp(0, 1) * (~blank[:, None]))

    def _with_noise(self, x: Tensor, loud: Tensor, key: Tensor) -> Tensor:
        """The level of both together: energies add up."""
        if not self.noise:
            return x
        cells = random.uniform(key, x.shape[1:], x.dtype)
        noise = self.noise * loud + 0.1 * (cells - 0.5)  # in a cell 6 dB louder or quieter
        scale = RANGE / 10 * math.log(10)
        return torch.logaddexp(x * scale, noise * scale) / scale


def _within(places: Tensor, count: int, start: Tensor, share: Tensor) -> Tensor:
    """Which places lie in a stretch of so large a share, wherever that begins."""
    length = share * count
    begin = start * (count - length)
    return (places >= begin.floor()) & (places < (begin.floor() + length.floor()))
