"""Examples that are the same as others, in the same class or, which cannot be right, in another one.

Equal: the same content of files, or the same text up to case, spaces and punctuation. Near: two views agree, the best
encoder's and that of pixels or of letters, so that neither a small drawing nor a sentence of the same topic is taken
for a copy.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.advice.material import Material
from innerloop.core.objectives import normalize

_NEAR = {"texts": (0.95, 0.85)}
_NEAR_OTHERS = 0.985, 0.985
"""Cosines, with the encoder and with what is there without it, from which two examples are near copies."""
_ROWS = 1024
"""Rows that are compared with all others at once."""


class Twin(NamedTuple):
    """Two examples that are the same."""

    first: int
    second: int
    """Places in the material, the first one before."""
    exact: bool


@dataclass(frozen=True, kw_only=True)
class Sameness:
    """What was there more than once."""

    across: tuple[Twin, ...]
    """Pairs of two classes."""
    within: tuple[Twin, ...]
    """Pairs of one class."""
    examples: int
    """How many were compared."""

    @property
    def share(self) -> float:
        """Share of the examples that are in another class, too."""
        return len({i for twin in self.across for i in twin[:2]}) / self.examples

    def to_json(self, material: Material, most: int = 20) -> dict[str, Any]:
        """Plain JSON values, with so many pairs at most."""
        shown = [
            {
                "first": material.called(a),
                "second": material.called(b),
                "classes": [material.names[int(material.labels[i])] for i in (a, b)],
                "exact": exact,
            }
            for a, b, exact in self.across[:most]
        ]
        about = {"across_classes": len(self.across), "within_classes": len(self.within), "share": self.share}
        return about | {"compared": self.examples, "pairs": shown}


def sameness(material: Material, encoded: Tensor, plain: Tensor) -> Sameness:
    """Find copies.

    Args:
        material: The examples.
        encoded: [n, d] rows of the best encoder, or the examples as they are.
        plain: [n, ...] what is there without an encoder: pixels, or weights of letters.
    """
    equal = _digests(material)
    high, low = _NEAR.get(material.kind, _NEAR_OTHERS)
    a, b = (_unit(rows, centred=material.kind != "texts") for rows in (encoded, plain))
    pairs: list[Twin] = []
    for start in range(0, len(a), _ROWS):
        stop = min(start + _ROWS, len(a))
        alike = (a[start:stop] @ a.T > high) & (b[start:stop] @ b.T > low)
        same = equal[start:stop, None] == equal
        before = torch.arange(start, stop)[:, None] < torch.arange(len(a))
        for i, j in ((alike | same) & before).nonzero().tolist():
            pairs.append(Twin(start + i, j, bool(same[i, j])))
    labels = material.labels
    across = tuple(twin for twin in pairs if labels[twin.first] != labels[twin.second])
    within = tuple(twin for twin in pairs if labels[twin.first] == labels[twin.second])
    return Sameness(across=across, within=within, examples=len(a))


def _unit(rows: Tensor, centred: bool) -> Tensor:
    """[n, d] directions; centred: of what differs from the mean, which all small drawings share."""
    flat = rows.flatten(1).float()
    flat = flat / 255 if rows.dtype == torch.uint8 else flat
    return normalize(flat - flat.mean(0) if centred else flat)


def _digests(material: Material) -> Tensor:
    """[n] int64, equal where the content is."""
    known: dict[bytes, int] = {}
    return torch.tensor([known.setdefault(_digest(one), len(known)) for one in material.raw])


def _digest(one: Any) -> bytes:
    if isinstance(one, str):
        letters = "".join(c for c in one.casefold() if c.isalnum())
        content = (letters or one).encode(errors="surrogatepass")
    elif isinstance(one, Path):
        content = one.read_bytes()
    else:
        content = one.contiguous().view(torch.uint8).numpy().tobytes() if isinstance(one, Tensor) else bytes(one)
    return hashlib.sha256(content).digest()
