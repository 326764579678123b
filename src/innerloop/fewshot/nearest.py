"""Why an answer is what it is: the taught examples that are nearest to one, in the space that decides.

A `.fewshot` file keeps rows, not what they were made of, so an example is named by its class and its number in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.model import Model
from innerloop.core.plain import plain
from innerloop.evaluate import acquisition
from innerloop.fewshot.history import Label
from innerloop.fewshot.task import Task

_PAIRS = 1 << 20
"""Distances that are computed at once."""


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A taught example that lies near to one that was asked."""

    label: Label
    number: int
    """Place in its class, from 1, in the order in which the examples were taught."""
    distance: float
    """1 - cosine where directions decide, as with frozen encoders, otherwise Euclidean."""
    row: int
    """Its place among the rows of the task."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"label": str(self.label)}


def nearest_examples(
    task: Task, rows: Tensor, n: int = 3, members: Mapping[Label, Sequence[int]] | None = None
) -> list[list[Neighbour]]:
    """The taught examples that are nearest to each row, nearest first.

    They are compared where the task compares them: features of the learner's encoder where it has one, otherwise the
    rows themselves, which a frozen encoder may have made.

    Args:
        task: Which answers.
        rows: [n, ...] uint8 or float32, what is asked.
        n: How many for each; fewer where the task has fewer, and none where it knows its classes by their names.
        members: Rows of each class by which examples are numbered; None: those of the task's present version.

    Raises:
        InputError: n is no number of examples.
    """
    n = plain(n)
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"a number of nearest examples is 1 or more; got {n!r}")
    present, known = task.taught
    if not present:
        return [[] for _ in rows]
    names = {
        row: (label, number)
        for label, places in (members or task.history.members()).items()
        for number, row in enumerate(places, 1)
    }
    features, known = task.features(rows).double(), known.double()
    nearest: list[list[Neighbour]] = []
    for part in features.split(max(1, _PAIRS // len(present))):
        values, places = distances(task, part, known).topk(min(n, len(present)), largest=False)
        for apart, indices in zip(values.tolist(), places.tolist(), strict=True):
            pairs = [(present[i], distance) for i, distance in zip(indices, apart, strict=True)]
            nearest.append(
                [Neighbour(label=names[row][0], number=names[row][1], distance=d, row=row) for row, d in pairs]
            )
    return nearest


def distances(task: Task, asked: Tensor, known: Tensor) -> Tensor:
    """[n, m] how far n features lie from m: 1 - cosine where directions decide, otherwise Euclidean."""
    return acquisition.distances(asked, known, directed(task))


def directed(task: Task) -> bool:
    """Whether directions of features decide."""
    learner = task.source.learner
    # Frozen encoders were trained so that directions, not lengths, tell their rows apart.
    frozen = task.source.encoder is not None and not isinstance(getattr(learner, "encoder", None), Model)
    return frozen or acquisition.by_direction(learner)
