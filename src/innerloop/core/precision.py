"""Whether numbers survive float32, in which learners compute."""

import torch
from torch import Tensor

from innerloop.core.errors import InputError

_LOST = 0.01
"""Share of a column's spread that rounding to float32 may take."""
_NOISE = 1e-12
"""Spread, as a share of the largest number, below which numbers of float64 are the same."""


def check_precision(x: Tensor, name: str = "X") -> None:
    """Refuse columns whose differences float32 does not hold: Unix times, coordinates.

    Noise of float64 itself is not meant, nor one number in all rows; numbers too large for float32 are infinite in it.

    Args:
        x: [n, d], before anything makes float32 of it; other shapes are passed over.
        name: What errors call it.

    Raises:
        InputError: There is such a column.
    """
    if x.dtype in (torch.float32, torch.bool) or x.ndim != 2 or len(x) < 2:
        return
    exact = x.double()
    lost = (exact - exact.float().double()).abs().amax(0)
    spread, largest = exact.amax(0) - exact.amin(0), exact.abs().amax(0)
    wrong = ((lost > _LOST * spread) & (spread > _NOISE * largest) & lost.isfinite()).nonzero().flatten().tolist()
    if wrong:
        i = wrong[0]
        raise InputError(
            f"column {i} of {name} holds numbers near {float(largest[i]):.10g} that differ by {float(spread[i]):.4g} "
            f"only, which float32, in which learners compute, loses: subtract {float(exact[:, i].mean()):.10g} (their "
            "mean) from it, in what is taught and in what is asked"
        )
