"""What an audit is made of."""

from typing import Any, NamedTuple

from innerloop.core import tree
from innerloop.core.types import Batch


class Check(NamedTuple):
    """One property that an honest number rests on."""

    name: str
    passed: bool | None
    """None: reported, not judged; the learner declares that it does not hold, or there is nothing to check."""
    figure: float | None
    """What was measured; the explanation says in which unit."""
    explanation: str
    details: dict[str, Any] | None = None
    """What else was found, as plain JSON values."""

    def __str__(self) -> str:
        mark = {True: "ok  ", False: "FAIL", None: "note"}[self.passed]
        return f"{mark}  {self.name}: {self.explanation}"


def rowwise(batch: Batch) -> bool:
    """Whether a stacked batch is made of rows, and not of one function that is minimised."""
    n = batch.y.shape[1] if batch.y.ndim > 1 else -1
    return n > 0 and all(leaf.ndim > 1 and leaf.shape[1] == n for leaf in tree.flatten(batch.x))
