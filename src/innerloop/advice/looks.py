"""What some data are, counted: kind, classes, shots, balance, size, script."""

import unicodedata
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from innerloop.advice.material import Material

_SCRIPTS = {"CJK": "Chinese characters", "HIRAGANA": "Japanese kana", "KATAKANA": "Japanese kana"}
"""How scripts are called whose Unicode names are not their usual ones."""
_UNEVEN = 3.0


@dataclass(frozen=True, kw_only=True)
class Looks:
    """Figures of some data."""

    kind: str
    classes: int
    examples: int
    fewest: int
    """Examples of the smallest class."""
    smallest: str
    """That class."""
    most: int
    """Examples of the largest class."""
    balance: float
    """Entropy of the class sizes over that of equal ones: 1 is even."""
    singles: int
    """Classes of one example."""
    size: str
    """Size of a typical example, in words."""
    script: str | None = None
    """That most letters of texts are of, such as "Latin letters"; None: they are no texts."""

    @property
    def uneven(self) -> bool:
        """Whether some class has several times the examples of another."""
        return self.most >= _UNEVEN * self.fewest

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        each = f"{self.fewest}" if self.fewest == self.most else f"{self.fewest} to {self.most}"
        words = f"{self.examples:,} {self.kind} of {self.classes:,} classes, {each} of each ({self.size})"
        return words if self.script is None else f"{words}, mostly {self.script}"


def look(material: Material) -> Looks:
    """Count what there is."""
    counts = material.counts
    shares = counts.double() / counts.sum()
    entropy = float(-(shares * shares.log()).sum())
    return Looks(
        kind="rows of numbers" if material.kind == "features" else material.kind,
        classes=len(counts),
        examples=len(material),
        fewest=int(counts.min()),
        smallest=material.names[int(counts.argmin())],
        most=int(counts.max()),
        balance=entropy / float(torch.tensor(float(len(counts))).log()) if len(counts) > 1 else 1.0,
        singles=int((counts == 1).sum()),
        size=_size(material),
        script=_script(material) if material.kind == "texts" else None,
    )


def _size(material: Material) -> str:
    if material.kind == "texts":
        lengths = sorted(len(str(text)) for text in material.raw)
        return f"{lengths[len(lengths) // 2]:,} characters"
    if isinstance(material.raw, Tensor):
        return " x ".join(f"{n:,}" for n in material.raw.shape[1:])
    sizes = Counter(map(_side, material.raw))
    (wide, high), share = sizes.most_common(1)[0]
    return f"{wide} x {high} pixels" if share == len(material) else f"most {wide} x {high} pixels, {len(sizes)} sizes"


def _side(picture: Any) -> tuple[int, int]:
    """Width and height of a picture file."""
    import io

    from PIL import Image

    with Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture) as opened:
        return opened.size


def _script(material: Material) -> str:
    """The script of most letters."""
    letters = Counter(c for text in material.raw for c in str(text) if c.isalpha())
    scripts: Counter[str] = Counter()
    for letter, count in letters.items():
        word = unicodedata.name(letter, "UNKNOWN").split("-")[0].split(" ")[0]
        scripts[_SCRIPTS.get(word, f"{word.capitalize()} letters")] += count
    return scripts.most_common(1)[0][0] if scripts else "no letters"
