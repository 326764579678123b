"""Sounds as pictures of log-mel energy: how much is heard in bands of equal pitch, over time.

Energies are measured at the sound's own rate, in windows of 25 ms and bands that are told in Hz, so that nothing has to
be resampled and a recording at 48 kHz gives the picture of the same one at 16 kHz. A picture does not depend on level,
offset, silence around the sound, the number of channels, or how long the sound takes.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d, pad

from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InputError
from innerloop.tasks.wav import Sound

RANGE = 60.0
"""Decibels below the loudest that are still shown; what is quieter is black."""
LOWEST = 60.0
"""Hz at which the first band begins: below lie hum, wind and steps."""
_WINDOW, HOP = 0.025, 0.005
"""Seconds of a window, and from one to the next."""
_PIECE = 512
"""Windows that are transformed at once: memory does not grow with the length of a sound."""
_SHORTEST = 0.02
"""Seconds of the shortest sound."""
_SILENT = 1.5 / 2**15
"""Peak, with full scale 1, up to which there is nothing but the rounding of 16 bits."""
_QUIET, _ABOVE, _AUDIBLE = 40.0, 6.0, 15.0
"""Decibels: what is so far below the loudest is silence around a sound, and in a noisy recording what is less than
`_ABOVE` over its floor; never what is within `_AUDIBLE` of the loudest."""
_FLOOR = 0.1
"""Share of the windows that are the quietest, by which the floor of a recording is told."""


@dataclass(frozen=True, kw_only=True)
class LogMel:
    """How a sound becomes a picture: [1, size, size] uint8, high pitch on top, time from left to right."""

    size: int = 40
    """Bands, and columns of time."""
    seconds: float = 1.0
    """The most that a picture shows, which is the loudest part of a longer sound. Shorter ones fill it as well: what is
    said faster looks the same."""
    highest: float = 7_600.0
    """Hz at which the last band ends."""

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or not 8 <= self.size <= 256:
            raise InputError(f"size of a picture of sound must be a whole number from 8 to 256, got {self.size!r}")
        if not 0.1 <= self.seconds <= 60:
            raise InputError(f"seconds must be from 0.1 to 60, got {self.seconds!r}")
        if not 1_000 <= self.highest <= 24_000:
            raise InputError(f"highest must be from 1,000 to 24,000 Hz, got {self.highest!r}")

    @property
    def windows(self) -> int:
        """How many a picture shows at most."""
        return max(1, round(self.seconds / HOP))

    def heard(self, sound: Sound, name: str) -> Tensor:
        """[windows, size] float32, the energy in each band, without the silence before and after.

        Args:
            sound: What was recorded.
            name: What errors call it.

        Raises:
            InputError: It is too short, or nothing but silence.
        """
        samples = from_numpy(sound.samples)
        if samples.shape[1] < _SHORTEST * sound.rate:
            raise InputError(
                f"{name} has {samples.shape[1]} samples, which is {samples.shape[1] / sound.rate * 1000:.3g} ms; at "
                f"least {_SHORTEST * 1000:.0f} ms are needed: record it anew, or remove it"
            )
        samples = samples - samples.mean(1, keepdim=True)
        if float(samples.abs().max()) <= _SILENT:
            raise InputError(f"{name} is nothing but silence; record it anew, or remove it")
        # Of channels the energies, not the samples: those of a wrongly wired pair would cancel.
        energy = torch.stack([energies(one, sound.rate, self.size, self.highest) for one in samples]).mean(0)
        return _without_silence(energy).float()

    def picture(self, heard: Tensor) -> Tensor:
        """[1, size, size] uint8 of what is heard."""
        windows, heard = self.windows, heard.double()
        if len(heard) > windows:
            # Sums of the energy up to each window: the loudest stretch is the largest difference.
            total = pad(heard.sum(1).cumsum(0), (1, 0))
            start = int((total[windows:] - total[:-windows]).argmax())
            heard = heard[start : start + windows]
        cells = adaptive_avg_pool1d(heard.T[None], self.size)  # [1, bands, columns]
        decibels = 10 * (cells / cells.max() + 1e-12).log10()
        row = contrast((decibels / RANGE + 1).clamp(0, 1).flip(1))
        return (row * 255).round().to(torch.uint8)

    def row(self, sound: Sound, name: str) -> Tensor:
        """[1, size, size] uint8 of a sound; arguments and errors as of `heard`."""
        return self.picture(self.heard(sound, name))


def contrast(level: Tensor) -> Tensor:
    """Levels with half of the mean of each band taken off, from 0 to 1.

    The mean is much of what tells voices, microphones and rooms apart. All of it would leave nothing of a steady tone.

    Args:
        level: [..., bands, columns] from 0 to 1.
    """
    return (level - level.mean(-1, keepdim=True) / 2 + 0.5) / 1.5


def levels(row: Tensor) -> Tensor:
    """The inverse of `contrast`."""
    left = 1.5 * row - 0.5
    return left + left.mean(-1, keepdim=True)


def of_sounds(preprocessing: Mapping[str, Any] | None) -> bool:
    """Whether rows are pictures of sounds, by how they were made: arguments of `LogMel`."""
    return preprocessing is not None and "seconds" in preprocessing


def energies(samples: Tensor, rate: int, bands: int, highest: float) -> Tensor:
    """[windows, bands] energy of [n] float64 samples in bands of mel, a window every 5 ms.

    Args:
        samples: Of one channel.
        rate: Samples a second.
        bands: How many.
        highest: Hz at which the last one ends.
    """
    window, hop = round(_WINDOW * rate), HOP * rate
    taper = torch.hann_window(window, dtype=torch.float64)
    # Windows may begin between two samples' places (44.1 kHz has 220.5 of them every 5 ms).
    count = max(1, math.ceil((len(samples) - window) / hop) + 1)
    starts = (torch.arange(count) * hop).round().long()
    samples = pad(samples, (0, max(0, int(starts[-1]) + window - len(samples))))
    places = torch.arange(window)
    bank = _bank(rate, 2 * window, bands, highest)
    heard = []
    for some in starts.split(_PIECE):
        spectrum = torch.fft.rfft(samples[some[:, None] + places] * taper, 2 * window)
        heard.append((spectrum.abs() / taper.sum()).square() @ bank)
    return torch.cat(heard)


@functools.lru_cache(maxsize=16)
def _bank(rate: int, length: int, bands: int, highest: float) -> Tensor:
    """[frequencies, bands] triangles over the mel scale; what a low rate cannot hold stays empty.

    Args:
        rate: Samples a second.
        length: Of the Fourier transform.
        bands: How many triangles.
        highest: Hz at which the last one ends.
    """
    frequency = torch.arange(length // 2 + 1, dtype=torch.float64) * rate / length
    edges = torch.linspace(_mel(LOWEST), _mel(highest), bands + 2, dtype=torch.float64)
    edges = 700 * (10 ** (edges / 2595) - 1)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    up, down = (frequency[:, None] - low) / (middle - low), (high - frequency[:, None]) / (high - middle)
    return torch.minimum(up, down).clamp_min(0)


def _mel(frequency: float) -> float:
    return 2595 * math.log10(1 + frequency / 700)


def _without_silence(energy: Tensor) -> Tensor:
    """From the first to the last of [windows, bands] that is heard above the floor of the recording."""
    level = 10 * (energy.sum(1) + 1e-30).log10()
    peak, floor = float(level.max()), float(level.quantile(_FLOOR))
    least = max(peak - _QUIET, min(floor + _ABOVE, peak - _AUDIBLE))
    audible = (level >= least).nonzero().flatten()
    return energy[int(audible[0]) : int(audible[-1]) + 1]
