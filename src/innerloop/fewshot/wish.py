"""What somebody wants generated; a mistake in it is told before torch is imported."""

import math
from dataclasses import dataclass
from typing import Literal

from innerloop.core.errors import InputError
from innerloop.core.plain import is_whole, plain

MOST = 1000
"""Examples of each class that are generated at once."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is to be generated."""

    count: int = 64
    """Examples of each class, at most 1000."""
    seed: int = 0
    """Other seeds give other examples."""
    temperature: float | None = None
    """How far examples stray from what is usual in their class: 0 is the most usual one; None: 1, as trained."""
    mean: bool = False
    """Leave what is known of a class at its mean, in place of a draw for each example."""
    ink: Literal["crisp", "cut", "soft"] | None = None
    """crisp: as many pixels are all ink as the picture has ink in all, the darkest ones, so that strokes keep their
    width. cut: pixels of half ink or more are all ink. soft: as generated. None: crisp for pictures in grey, soft for
    everything else."""

    def check(self) -> None:
        """Refuse what cannot be generated.

        Raises:
            InputError: Not so many examples, or of no such seed or temperature.
        """
        count, seed, temperature = plain(self.count), plain(self.seed), plain(self.temperature)
        if not is_whole(count, 1) or count > MOST:
            raise InputError(f"count is a whole number from 1 to {MOST:,} examples of each class, got {self.count!r}")
        if not isinstance(seed, int) or isinstance(seed, bool) or not -(2**63) <= seed < 2**63:
            raise InputError(f"seed is a whole number of 64 bits, got {self.seed!r}")
        number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
        if temperature is not None and not (number and math.isfinite(temperature) and temperature >= 0):
            raise InputError(f"temperature is a number from 0 on, got {self.temperature!r}")
