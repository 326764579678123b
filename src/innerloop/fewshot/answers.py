"""What a task says of examples: of many as arrays, of one by itself."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from innerloop.fewshot.history import Label


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is said of one example, in Python, on the command line and over HTTP."""

    label: Label | None
    """The class; None: none of these."""
    accepted: bool
    probabilities: dict[str, float]
    """Probability of every class by its name, most probable first."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"class": self.label, "accepted": self.accepted, "probabilities": self.probabilities}


class Answers(NamedTuple):
    """What is said of n examples."""

    classes: np.ndarray
    """[n] the most probable class, or `NONE`."""
    probabilities: np.ndarray
    """[n, classes] in the order of `classes_`."""
    accepted: np.ndarray
    """[n] bool; False: none of these."""

    def each(self, names: list[str]) -> list[Answer]:
        """The answer of every example.

        Args:
            names: Of the classes, in their order.
        """
        answers = []
        for row, accepted in zip(self.probabilities, self.accepted.tolist(), strict=True):
            ranked = {names[i]: float(row[i]) for i in np.argsort(-row, kind="stable")}
            label = next(iter(ranked)) if accepted else None
            answers.append(Answer(label=label, accepted=accepted, probabilities=ranked))
        return answers
