"""Handwritten kana, letters, digits and kanji of at most 8 strokes, drawn on this machine: the default data set.

The shapes are KanjiVG's, (C) Ulrich Apel, CC BY-SA 3.0, https://kanjivg.tagaini.net, from the PyPI package
`kanjivg`; drawings made from them carry the same licence. Each is drawn by the same 20 synthetic writers
(`innerloop.tasks.handwriting`). Characters that look like one kept before them, whatever their size and width (small
kana, C and c, O and 0, twins of one stroke), are dropped: blurred clean shapes with a cosine above 0.92.

1,063 characters are kept. Nearest centroid on pixels, 1 shot, 15 queries, seed 0, on the test split: 46.0 ± 0.7% with 5
ways (600 episodes) and 27.4 ± 0.5% with 20 (200); on validation 47.2 ± 0.7% and 27.7 ± 0.5%. Omniglot, test characters
without rotations, measured alike: 42.3 ± 0.7% and 22.9 ± 0.3%.
"""

import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from innerloop.core.aligned import from_numpy
from innerloop.core.context import Root
from innerloop.core.errors import InputError
from innerloop.tasks import cache, handwriting
from innerloop.tasks.pool import Pool, Splits
from innerloop.tasks.progress import track

VERSION = 1
"""Version of the drawings; in the name of the cache file and of the data set's splits."""
SIZE = 28
WRITERS = 20
MAX_STROKES = 8
_ALIKE = 0.92
_STRETCHES = (0.65, 0.8, 1.25, 1.5)
"""Widths at which a shape is also compared: O and 0 differ in little else."""
_BOX = 109.0
_PATH = re.compile(r'<path [^>]*?\bd="([^"]+)"')
_FILE = re.compile(r"[0-9a-f]{5}\.svg")
_TEST = ("hiragana", "kanji-8")
_VALIDATION = ("katakana", "kanji-3", "kanji-4")
_SCRIPTS = (
    ("digits", 0x30, 0x39),
    ("latin", 0x41, 0x5A),
    ("latin", 0x61, 0x7A),
    ("hiragana", 0x3041, 0x3096),
    ("katakana", 0x30A1, 0x30FA),
    ("kanji", 0x4E00, 0x9FFF),
)
"""In this order: of two that look alike, the first is kept."""


class Character(NamedTuple):
    """One shape to draw."""

    code: int
    group: str
    strokes: handwriting.Strokes


def kanji(root: Root = None) -> Splits:
    """The drawings, 28 x 28, strokes bright; made once (under 40 s) and kept in the user's cache folder.

    Meta-test holds hiragana and kanji of 8 strokes, meta-validation katakana and kanji of 3 and 4, meta-train the
    rest, so no script or stroke count is in two splits.

    Args:
        root: Its cache folder keeps the drawings; the shapes come with the package `kanjivg`.

    Raises:
        InputError: The package is missing.
    """
    folder = _package()
    arrays = cache.cached(
        root, f"kanji-v{VERSION}-{SIZE}-{WRITERS}", lambda: _make(folder), ("drawings", "codes", "groups")
    )
    groups = [str(g) for g in arrays["groups"]]
    whole = Pool(
        data=from_numpy(arrays["drawings"])[:, :, None],
        counts=torch.full((len(groups),), WRITERS),
        names=tuple(f"{group}/{chr(code)}" for group, code in zip(groups, arrays["codes"].tolist(), strict=True)),
        groups=tuple(groups),
        dataset="kanji",
        preprocessing={"size": SIZE, "channels": 1, "ink": "auto"},
    )
    parts: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for i, group in enumerate(groups):
        parts["test" if group in _TEST else "validation" if group in _VALIDATION else "train"].append(i)
    return Splits(**{split: whole.take(index, f"v{VERSION}-{split}") for split, index in parts.items()})


def characters(folder: Path) -> list[Character]:
    """All characters of the scripts with at most `MAX_STROKES` strokes, in the order in which look-alikes are kept.

    Args:
        folder: Of KanjiVG's SVG files.
    """
    files = sorted(p for p in folder.iterdir() if _FILE.fullmatch(p.name))  # variants have longer names
    codes = {int(p.stem, 16): p for p in files}
    wanted = [(script, code) for script, low, high in _SCRIPTS for code in range(low, high + 1) if code in codes]
    drawn = []
    for script, code in track(wanted, "reading KanjiVG", len(wanted)):
        paths = _PATH.findall(codes[code].read_text(encoding="utf-8"))
        if 1 <= len(paths) <= MAX_STROKES:
            group = f"kanji-{len(paths)}" if script == "kanji" else script
            drawn.append(Character(code, group, [handwriting.parse_path(d, _BOX) for d in paths]))
    return drawn


def distinct(drawn: list[Character]) -> list[Character]:
    """Those that do not look like one kept before them."""
    shapes = _shapes(drawn, 1.0)  # [n, pixels]
    alike = shapes @ shapes.T > _ALIKE  # [n, n]
    for stretch in track(_STRETCHES, "comparing shapes", len(_STRETCHES)):
        stretched = _shapes(drawn, stretch) @ shapes.T > _ALIKE
        alike |= stretched | stretched.T
    kept: list[int] = []
    for i in range(len(drawn)):
        if not alike[i, kept].any():
            kept.append(i)
    return [drawn[i] for i in kept]


def _make(folder: Path) -> cache.Arrays:
    kept = distinct(characters(folder))
    shown = track(kept, "drawing characters", len(kept))
    drawings = [handwriting.write(c.strokes, c.code, WRITERS, SIZE) for c in shown]
    return {
        "drawings": np.stack(drawings),
        "codes": np.array([c.code for c in kept]),
        "groups": np.array([c.group for c in kept]),
    }


def _shapes(drawn: list[Character], stretch: float) -> np.ndarray:
    """Clean drawings, of one size, blurred and of unit norm, [n, pixels]."""
    wide = [[stroke * np.array([stretch, 1.0]) for stroke in c.strokes] for c in drawn]
    shapes = np.stack([_blurred(handwriting.draw(handwriting.fitted(strokes), SIZE, 2.0)) for strokes in wide])
    return shapes / np.linalg.norm(shapes, axis=1, keepdims=True)


def _blurred(image: np.ndarray) -> np.ndarray:
    """[size * size] smoothed by a Gaussian of one pixel, so that near misses count as alike."""
    offsets = np.arange(len(image))
    weights = np.exp(-0.5 * (offsets[:, None] - offsets) ** 2)  # [size, size]
    return (weights @ image @ weights).ravel()


def _package() -> Path:
    for name in ("PIL", "kanji"):
        if importlib.util.find_spec(name) is None:
            raise InputError("the kanji drawings need KanjiVG's shapes and Pillow: pip install 'innerloop[kanji]'")
    spec = importlib.util.find_spec("kanji")
    places = list(spec.submodule_search_locations or []) if spec else []
    for place in map(Path, places):
        if (place / "04e00.svg").exists():
            return place
    raise InputError("the installed package 'kanji' is not KanjiVG: pip install 'innerloop[kanji]'")
