"""Digits as on the signs of a street, drawn by Pillow from the outlines of fonts: what the street does to a digit.

A picture is a function of its key and the fonts: colour of ground and digit, gradients, neighbours that the edge cuts
off, perspective, blur, noise and JPEG. It is drawn at twice its size.
"""

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from innerloop.core import random
from innerloop.tasks import draws

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

SIZE = 32
_DRAWN = 2 * SIZE
_DRAWS = 64
"""Numbers a picture takes at most."""
_CONTRAST = 0.22
"""Least difference in brightness of ground and digit, of 1."""
_LUMA = np.array([0.299, 0.587, 0.114])
_NOISE = 0x57EE7


class Dice:
    """Uniform numbers of one key [1], one after another."""

    def __init__(self, key: draws.Keys):
        self._numbers = iter(draws.uniform(key, _DRAWS)[0].tolist())

    def between(self, low: float, high: float) -> float:
        """A number of a range."""
        return low + (high - low) * next(self._numbers)

    def below(self, count: int) -> int:
        """A whole number from 0 to `count - 1`."""
        return min(int(count * next(self._numbers)), count - 1)

    def colour(self) -> np.ndarray:
        """[3] from 0 to 1."""
        return np.array([next(self._numbers) for _ in range(3)])


def picture(digit: int, key: draws.Keys, fonts: Sequence[Path]) -> np.ndarray:
    """One digit in the street.

    Args:
        digit: 0 to 9.
        key: [1] of the picture.
        fonts: Files of fonts that have digits, to choose from.

    Returns:
        [3, SIZE, SIZE] uint8.
    """
    from PIL import Image, ImageFilter

    dice = Dice(key)
    font = fonts[dice.below(len(fonts))]
    ground = _gradient(dice, dice.colour())
    ink = _gradient(dice, _apart(dice.colour(), float(ground.mean((0, 1)) @ _LUMA), dice))
    mask = _bent(_row(digit, font, dice), dice)
    shade = np.asarray(mask, np.float32)[..., None] / 255  # [drawn, drawn, 1]
    pixels = ground * (1 - shade) + ink * shade
    image = Image.fromarray((255 * pixels).clip(0, 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(dice.between(0.3, 2.0)))
    image = image.resize((SIZE, SIZE), Image.Resampling.BOX)
    noise = random.normal(random.fold(draws.tensor(key)[0], _NOISE), (SIZE, SIZE, 3), torch.float64).numpy()
    noisy = np.asarray(image, np.float64) + 255 * dice.between(0.0, 0.06) * noise
    packed = io.BytesIO()
    quality = 30 + dice.below(60)
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(packed, "JPEG", quality=quality)
    return np.asarray(Image.open(packed).convert("RGB")).transpose(2, 0, 1)


def _gradient(dice: Dice, colour: np.ndarray) -> np.ndarray:
    """[drawn, drawn, 3] from one shade of a colour to another, across at any angle."""
    angle, strength = dice.between(0, 2 * np.pi), dice.between(0.0, 0.25)
    across = np.linspace(-0.5, 0.5, _DRAWN)
    ramp = np.cos(angle) * across[None, :] + np.sin(angle) * across[:, None]
    return np.clip(colour + strength * ramp[..., None], 0, 1)


def _apart(colour: np.ndarray, brightness: float, dice: Dice) -> np.ndarray:
    """A colour moved towards black or white until it is told apart from a ground of this brightness."""
    lighter = brightness < _CONTRAST or (brightness <= 1 - _CONTRAST and dice.between(0, 1) < 0.5)
    least = dice.between(_CONTRAST, 0.7)
    wanted = min(brightness + least, 1.0) if lighter else max(brightness - least, 0.0)
    own = float(colour @ _LUMA)
    if (own - wanted) * (1 if lighter else -1) >= 0:
        return colour
    # Blended with white or black, its brightness is what is wanted.
    share = (wanted - own) / (1 - own) if lighter else (own - wanted) / own
    return colour * (1 - share) + (share if lighter else 0.0)


def _row(digit: int, path: Path, dice: Dice) -> "Image":
    """[drawn, drawn] the digit in the middle, and sometimes its neighbours, as far as the edge leaves them."""
    from PIL import Image, ImageDraw

    font = _font(path, int(dice.between(0.7, 1.05) * _DRAWN))
    image = Image.new("L", (_DRAWN, _DRAWN))
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = draw.textbbox((0, 0), str(digit), font=font)
    x = (_DRAWN - left - right) / 2 + dice.between(-0.07, 0.07) * _DRAWN
    y = (_DRAWN - top - bottom) / 2 + dice.between(-0.07, 0.07) * _DRAWN
    draw.text((x, y), str(digit), fill=255, font=font)
    gap = dice.between(0.02, 0.14) * _DRAWN
    for side in (-1, 1):
        there, neighbour = dice.between(0, 1) < 0.6, str(dice.below(10))
        if there:
            before, _, after, _ = draw.textbbox((0, 0), neighbour, font=font)
            start = x + right + gap - before if side > 0 else x + left - gap - after
            draw.text((start, y), neighbour, fill=255, font=font)
    return image


def _bent(image: "Image", dice: Dice) -> "Image":
    """Seen at an angle: turned, slanted, and each corner moved a little."""
    from PIL import Image

    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) - 0.5
    angle = np.radians(dice.between(-12, 12))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = np.array([[dice.between(-0.09, 0.09) for _ in range(2)] for _ in range(4)])
    source = _DRAWN * ((corners @ turn.T + moved) + 0.5)
    target = _DRAWN * (corners + 0.5)
    rows = [[x, y, 1, 0, 0, 0, -u * x, -u * y] for (x, y), (u, _) in zip(target, source, strict=True)]
    rows += [[0, 0, 0, x, y, 1, -v * x, -v * y] for (x, y), (_, v) in zip(target, source, strict=True)]
    plane = np.linalg.solve(np.array(rows), source.T.ravel())
    return image.transform(image.size, Image.Transform.PERSPECTIVE, tuple(plane.tolist()), Image.Resampling.BILINEAR)


@lru_cache(512)
def _font(path: Path, size: int) -> "FreeTypeFont":
    from PIL import ImageFont

    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
