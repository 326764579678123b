"""How unlike classes and tasks are: where class means lie in an encoder, which rival is nearest, which could help."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from innerloop.core.objectives import normalize


@dataclass(frozen=True, kw_only=True)
class ClassMap:
    """Three numbers, and a picture."""

    names: tuple[str, ...]
    apart: float
    """Mean distance of two class means, in the mean distance of examples to the mean of their own class."""
    rival: float
    """Mean distance to the nearest other class, likewise: how hard the hardest tasks are."""
    unlike: float | None
    """Mean distance of the classes that are held out to the nearest one that is not, likewise: how new new tasks are.
    None: none are held out."""
    rivals: tuple[str, ...]
    """The nearest other class of each."""
    hardest: tuple[str, str]
    """The two classes that are nearest to each other."""
    helpers: tuple[tuple[str, str], ...]
    """Classes that are held out, each with the nearest one that is not: whose examples would teach most of it."""
    places: tuple[tuple[float, float], ...]
    """The class means in the plane of their first two principal components."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        words = f"classes are {self.apart:.1f} spreads apart, their nearest rivals {self.rival:.1f}"
        words += "" if self.unlike is None else f", held-out ones {self.unlike:.1f} from those that are trained on"
        return f"{words}; hardest to tell apart: {self.hardest[0]} and {self.hardest[1]}"


@torch.no_grad()
def class_map(rows: Tensor, labels: Tensor, names: tuple[str, ...], held: list[int]) -> ClassMap:
    """Measure how unlike classes are.

    Args:
        rows: [n, ...] of an encoder, or the examples as they are.
        labels: [n] int64, indices into `names`.
        names: Two or more.
        held: Classes that nothing is trained on; empty: none are held out.
    """
    x = normalize(rows.flatten(1).float() / (255 if rows.dtype == torch.uint8 else 1))
    means = torch.stack([x[labels == c].mean(0) for c in range(len(names))])  # [classes, d]
    spread = float((x - means[labels]).norm(dim=1).mean())
    between = torch.cdist(means, means) / max(spread, torch.finfo(x.dtype).tiny)
    others = between.clone().fill_diagonal_(torch.inf)
    nearest = others.argmin(1)
    first = int(others.amin(1).argmin())
    kept = [c for c in range(len(names)) if c not in held]
    helpers, unlike = (), None
    if held and kept:
        toward = between[held][:, kept]
        helpers = tuple((names[c], names[kept[int(i)]]) for c, i in zip(held, toward.argmin(1), strict=True))
        unlike = float(toward.amin(1).mean())
    centred = means - means.mean(0)
    _, _, axes = torch.linalg.svd(centred, full_matrices=False)
    plane = torch.zeros(len(names), 2, dtype=x.dtype)
    coordinates = centred @ axes[:2].T
    plane[:, : coordinates.shape[1]] = coordinates
    return ClassMap(
        names=names,
        apart=float(between.sum() / (len(names) * (len(names) - 1))),
        rival=float(others.amin(1).mean()),
        unlike=unlike,
        rivals=tuple(names[int(i)] for i in nearest),
        hardest=(names[first], names[int(nearest[first])]),
        helpers=helpers,
        places=tuple((float(a), float(b)) for a, b in plane),
    )
