"""Examples that a task was taught more than once, of one class or of several."""

from dataclasses import dataclass

import torch
from torch import Tensor

from innerloop.fewshot.history import Label
from innerloop.fewshot.rows import floats
from innerloop.fewshot.task import Task

_SAME = 1e-5
"""Share of its largest number by which a row may differ from itself: encoders of texts round by company."""
_PAIRS = 1 << 20
"""Distances that are computed at once."""
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """One example, taught several times."""

    places: tuple[tuple[Label, int], ...]
    """Its classes, each with its number in the class, from 1."""

    @property
    def contradicts(self) -> bool:
        """Whether it is in several classes."""
        return len({label for label, _ in self.places}) > 1

    def __str__(self) -> str:
        return " = ".join(f"{label} #{number}" for label, number in self.places)


def repeats(task: Task, since: int = 0) -> list[Repeat]:
    """What the present version of a task was taught more than once.

    Args:
        task: Which.
        since: Only those with a row from this place of the table on, such as what was added last.
    """
    named = {
        row: (label, number) for label, places in task.history.members().items() for number, row in enumerate(places, 1)
    }
    rows = sorted(named)
    x = floats(task.rows[torch.tensor(rows, dtype=torch.long)]).flatten(1)
    first = list(range(len(rows)))  # the place that a row is the same as
    for j, i in enumerate(earlier(x)):
        if i >= 0:
            first[j] = first[i]
    groups: dict[int, list[int]] = {}
    for j, i in enumerate(first):
        groups.setdefault(i, []).append(j)
    several = (group for group in groups.values() if len(group) > 1 and rows[group[-1]] >= since)
    return [Repeat(places=tuple(named[rows[j]] for j in group)) for group in several]


def as_taught_before(known: Tensor, asked: Tensor) -> Tensor:
    """[n] whether [n, d] rows are among [m, d] others, up to rounding."""
    if not len(known):
        return torch.zeros(len(asked), dtype=torch.bool)
    parts = asked.split(max(1, _PAIRS // len(known)))
    return torch.cat([_equal(part, known[torch.cdist(part, known).argmin(1)]) for part in parts])


def sentences(found: list[Repeat]) -> list[str]:
    """Them in words: those of one class, and those of several."""
    parts = ([one for one in found if one.contradicts == several] for several in (False, True))
    words = ("taught more than once", "taught as different classes, which cannot all be right")
    return [
        f"{len(some):,} example{'s were' if len(some) > 1 else ' was'} {word}: {'; '.join(map(str, some[:_SHOWN]))}"
        + (f" and {len(some) - _SHOWN} more" if len(some) > _SHOWN else "")
        for some, word in zip(parts, words, strict=True)
        if some
    ]


def earlier(x: Tensor) -> list[int]:
    """For each of [n, d] rows the place of an equal one before it, or -1."""
    equal: list[int] = [-1] * len(x)
    each = max(1, _PAIRS // max(len(x), 1))
    for start in range(0, len(x), each):
        part = x[start : start + each]
        distance = torch.cdist(part, x[: start + len(part)])
        # Only those before it.
        distance += torch.full_like(distance, torch.inf).triu(start)
        nearest = distance.argmin(1)
        same = _equal(part, x[nearest]) & (nearest < torch.arange(start, start + len(part)))
        equal[start : start + len(part)] = torch.where(same, nearest, -1).tolist()
    return equal


def _equal(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().amax(1) <= _SAME * b.abs().amax(1)
