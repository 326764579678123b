"""What an audit is made of."""

from typing import Any, NamedTuple


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
