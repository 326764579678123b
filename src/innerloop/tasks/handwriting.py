"""Stroke paths drawn as by different hands: slant, shear, scale, pen and wobble vary by writer, drawing and stroke."""

import re
from collections.abc import Sequence

import numpy as np
import torch

from innerloop.core import random
from innerloop.core.errors import InputError

Strokes = list[np.ndarray]
"""In the order they are written, each [points, 2]: x and y in [0, 1], y downward."""

_TOKEN = re.compile(r"[A-Za-z]|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_CURVE = 8
"""Points a cubic curve becomes."""
_FINE = 4
"""Drawn this many times larger, then averaged down."""
_STRAIGHT = 0.94
"""Cosine of the angle, 20 degrees, below which a joint needs no rounding."""
_WRITER, _DRAWING, _PEN = 1, 2, 3


def parse_path(d: str, box: float) -> np.ndarray:
    """The points of one stroke, from the `d` of an SVG path.

    Args:
        d: Of the commands M, C and S, absolute or relative: all that KanjiVG uses.
        box: Side of the view box, which becomes 1.

    Returns:
        [points, 2].

    Raises:
        InputError: Another command, or numbers that do not fit.
    """
    tokens = _TOKEN.findall(d)
    points: list[np.ndarray] = []
    control = here = np.zeros(2)
    command, i = "", 0
    while i < len(tokens):
        if tokens[i].isalpha():
            command, i = tokens[i], i + 1
        count = {"M": 1, "C": 3, "S": 2}.get(command.upper())
        numbers = tokens[i : i + 2 * count] if count else []
        if not count or len(numbers) < 2 * count:
            raise InputError(f"cannot read the stroke '{d[:40]}': command '{command}'")
        coordinates = np.array(numbers, dtype=np.float64).reshape(count, 2) + (here if command.islower() else 0.0)
        i += 2 * count
        if command.upper() == "M":
            points.append(coordinates)
        else:
            first = coordinates[:1] if command.upper() == "C" else (2 * here - control)[None]
            bezier = np.concatenate([here[None], first, coordinates[-2:]])
            points.append(_cubic(bezier)[1:])
        control, here = (coordinates[-2] if len(coordinates) > 1 else coordinates[-1]), coordinates[-1]
    return np.concatenate(points) / box


def fitted(strokes: Strokes, side: float = 0.72) -> Strokes:
    """The same shape, centred and scaled until its longer side is `side`: small and large letters become alike."""
    every = np.concatenate(strokes)
    low, high = every.min(0), every.max(0)
    scale = side / max(float((high - low).max()), 1e-6)
    return [(stroke - (low + high) / 2) * scale + 0.5 for stroke in strokes]


def draw(strokes: Sequence[np.ndarray], size: int, pen: float) -> np.ndarray:
    """Draw strokes bright on black, [size, size] uint8.

    Args:
        strokes: Each [points, 2] in [0, 1].
        size: In pixels.
        pen: Width, in pixels of the result.
    """
    from PIL import Image, ImageDraw

    canvas = Image.new("L", (size * _FINE, size * _FINE))
    brush = ImageDraw.Draw(canvas)
    width = max(round(pen * _FINE), 1)
    r = width / 2 - 0.5
    for stroke in strokes:
        at = stroke * (size * _FINE)
        brush.line(at.ravel().tolist(), fill=255, width=width)
        for x, y in at[_corners(at)].tolist():  # round ends, and no notch where the pen turns
            brush.ellipse((x - r, y - r, x + r, y + r), fill=255)
    return np.asarray(canvas.reduce(_FINE))


def _corners(points: np.ndarray) -> np.ndarray:
    """[points] bool, the two ends and where the direction changes much."""
    step = np.diff(points, axis=0)
    before, after = step[:-1], step[1:]
    length = np.hypot(before[:, 0], before[:, 1]) * np.hypot(after[:, 0], after[:, 1])
    sharp = (before * after).sum(1) < _STRAIGHT * length
    return np.concatenate([[True], sharp, [True]])


def write(strokes: Strokes, character: int, writers: int, size: int, seed: int = 0) -> np.ndarray:
    """One character by every writer, [writers, size, size] uint8; a function of the character and the writer's number.

    Args:
        strokes: The clean shape.
        character: Its number, such as the code point.
        writers: How many hands.
        size: In pixels.
        seed: Of all hands.
    """
    hand, pens = _hands(writers, seed)
    key = random.fold(random.fold(random.mix(seed, character), _DRAWING), torch.arange(writers))
    own = random.normal(key, (6 + 7 * len(strokes),), torch.float64).numpy()  # [writers, ...]
    every = hand + own[:, :6] * np.array([0.05, 0.05, 0.05, 0.05, 0.035, 0.035])
    wobble = own[:, 6:].reshape(writers, len(strokes), 7)
    shapes = [
        _place(_bend(stroke, wobble[:, s]), every) for s, stroke in enumerate(strokes)
    ]  # each [writers, points, 2]
    return np.stack([draw([shape[w] for shape in shapes], size, pens[w]) for w in range(writers)])


def _hands(writers: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How each writer writes everything: [writers, 6] slant, shear, log scales and shifts; [writers] pen widths."""
    key = random.fold(random.fold(random.mix(seed, 0), _WRITER), torch.arange(writers))
    drawn = random.normal(key, (6,), torch.float64).numpy() * np.array([0.10, 0.14, 0.10, 0.10, 0.02, 0.02])
    rank = random.permutation(random.fold(random.mix(seed, 0), _PEN), writers).numpy()  # every width once
    return drawn, 1.3 + 1.2 * (rank + 0.5) / writers


def _bend(stroke: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Turn, stretch, shift and bow one stroke about its middle by [writers, 7] noise, [writers, points, 2]."""
    turn, stretch, right, down, bow, wave, lift = noise.T[:, :, None, None]
    middle = stroke.mean(0)
    along = np.linspace(0.0, 1.0, len(stroke))[:, None]
    chord = stroke[-1] - stroke[0]
    across = np.array([-chord[1], chord[0]])
    bowed = stroke + across * (0.05 * bow * 4 * along * (1 - along) + 0.03 * wave * np.sin(2 * np.pi * along))
    moved = (bowed - middle) @ _rotation(0.08 * turn[:, 0, 0]) * np.exp(0.08 * stretch)
    return moved + middle + 0.022 * np.concatenate([right, down], -1) + chord * 0.02 * lift


def _place(strokes: np.ndarray, hand: np.ndarray) -> np.ndarray:
    """Slant, shear, scale and shift [writers, points, 2] about the centre of the page by [writers, 6]."""
    slant, shear, wide, tall = hand[:, :4].T
    flat = np.zeros_like(wide)
    shape = np.stack([np.stack([np.exp(wide), shear], -1), np.stack([flat, np.exp(tall)], -1)], -2)  # [writers, 2, 2]
    return 0.92 * (strokes - 0.5) @ shape.swapaxes(-1, -2) @ _rotation(slant) + 0.5 + hand[:, None, 4:]


def _rotation(angle: np.ndarray) -> np.ndarray:
    """[writers, 2, 2], to be multiplied from the right."""
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([c, s], -1), np.stack([-s, c], -1)], -2)


def _cubic(bezier: np.ndarray) -> np.ndarray:
    t = np.linspace(0.0, 1.0, _CURVE)[:, None]
    a, b, c, d = bezier
    return (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
