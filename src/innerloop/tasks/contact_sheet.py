"""Contact sheets: many small pictures as one, a row each class, the given ones, a rule, and those that were made."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from innerloop.core.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

DARK = 0.35
"""Mean brightness under which one-channel pictures are shown as dark strokes on white."""
_GAP, _RULE = 2, 8
"""Pixels between two pictures, and from the given ones to the others, with a line in the middle."""
_PAPER, _LINE = 0.86, 0.25
_SMALL, _WIDEST = 56, 20_000
"""Pictures smaller than this many pixels are drawn twice as large, where the sheet does not become wider than that."""


def is_picture(shape: Sequence[int]) -> bool:
    """Whether examples of this shape can be drawn."""
    return len(shape) == 3 and shape[0] in (1, 3)


def bytes_of(x: Tensor, turned: bool) -> np.ndarray:
    """[..., height, width] or, in colour, [..., height, width, 3] uint8.

    Args:
        x: [..., channels, height, width] from 0 to 1; what lies beyond is cut off.
        turned: Whether light becomes dark.
    """
    values = x.detach().float().cpu().clamp(0, 1)
    pixels = ((1 - values if turned else values) * 255).round().to(torch.uint8)
    return (pixels[..., 0, :, :] if pixels.shape[-3] == 1 else pixels.movedim(-3, -1)).numpy()


def looks_dark(given: Sequence[Tensor]) -> bool:
    """Whether pictures [n, channels, height, width] are light ink on a dark ground, to be shown the other way round."""
    means = [float(x.float().mean()) for x in given if len(x)]
    return bool(means) and given[0].shape[1] == 1 and sum(means) / len(means) < DARK


def sheet(given: Sequence[Tensor], made: Sequence[Tensor], turned: bool = False) -> "Image":
    """One picture of many: a row each, given ones flush with a rule, then those that were made.

    Args:
        given: Of each row [n, channels, height, width] from 0 to 1; rows may be of different lengths, or empty.
        made: Of each row likewise.
        turned: Whether light becomes dark.

    Raises:
        InputError: Examples are no pictures, or Pillow is missing.
    """
    shape = tuple(made[0].shape[1:])
    if not is_picture(shape):
        raise InputError(f"examples of shape {list(shape)} are no pictures, and cannot be drawn: write them as .npz")
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError("drawing pictures needs Pillow: pip install 'innerloop[images]'") from error
    channels, height, width = shape
    before, after = max(map(len, given)), max(map(len, made))
    start = before * (width + _GAP) + (_RULE if before else 0)
    canvas = torch.full((channels, len(made) * (height + _GAP) - _GAP, start + after * (width + _GAP) - _GAP), _PAPER)
    if before:
        canvas[:, :, start - _GAP - _RULE // 2] = _LINE
    for i, (left, right) in enumerate(zip(given, made, strict=True)):
        top = i * (height + _GAP)
        places = [(before - len(left) + j) * (width + _GAP) for j in range(len(left))]
        places += [start + j * (width + _GAP) for j in range(len(right))]
        for x, place in zip([*left, *right], places, strict=True):
            shown = x.detach().float().cpu().clamp(0, 1)
            canvas[:, top : top + height, place : place + width] = 1 - shown if turned else shown
    picture = Image.fromarray(bytes_of(canvas, turned=False))
    if max(height, width) < _SMALL and 2 * picture.width <= _WIDEST:
        picture = picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.NEAREST)
    return picture


def png(picture: "Image") -> bytes:
    """A picture as the content of a PNG file."""
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
